"""Attempts to get an answer across each wall of the cache: by its words, by its sense, and while it is on its way."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.classification import Complexity, RuleClassifier
from llm_router.conversations import Conversations
from llm_router.jobs import failed, succeeded, usage_record
from llm_router.models import CacheTier, Failure, Job, Source, Turn
from llm_router.pipeline import Pipeline
from llm_router.routing import Router
from llm_router.sampling import Sampling
from llm_router.semantic_cache import Scope, SemanticCache
from tests.builders import COSTS, TINY, make_answer, make_entry, make_request
from tests.fakes import (
    FakeBreaker,
    FakeCacheStore,
    FakeConversationStore,
    FakeEmbedder,
    FakeJobStore,
    FakeStatusStore,
    SettableClock,
)

QUESTION, REWORDED = "What is Python?", "what's Python"


class World:
    """A pipeline that two callers share."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.store = FakeCacheStore()
        self.jobs = FakeJobStore(self.clock)
        self.embedder = FakeEmbedder()
        self.dispatched: list[str] = []
        numbers = count(1)
        self.pipeline = Pipeline(
            classifier=RuleClassifier(),
            router=Router({Complexity.SIMPLE: TINY, Complexity.MEDIUM: TINY, Complexity.COMPLEX: "ollama/llama3.2"}),
            cache=SemanticCache(self.store, self.embedder, threshold=0.85, clock=self.clock),
            conversations=Conversations(FakeConversationStore(self.clock), self.jobs.get, self.clock),
            jobs=self.jobs,
            costs=COSTS,
            dispatch=self.dispatched.append,
            breaker=FakeBreaker(),
            statuses=FakeStatusStore(),
            clock=self.clock,
            new_id=lambda: f"req_{next(numbers)}",
        )

    def ask(self, message: str = QUESTION, *, tenant: str = "default", **fields: Any) -> Job:
        """Submit a request."""
        return self.pipeline.submit(make_request(message, **fields), tenant=tenant, source=Source.HTTP)

    def look(self, message: str, *, tenant: str = "default", **fields: Any) -> CacheTier | None:
        """Return which part of the cache answers a request; one that it does not answer is given up."""
        job = self.ask(message, tenant=tenant, **fields)
        if job.answer is None:
            ended = failed(job, Failure(code="model_error", message="given up"), self.clock())
            self.jobs.finish(ended, usage_record(ended))
            self.jobs.close_flight(job, followers=self.jobs.followers(job))
        return job.answer.tier if job.answer else None

    def answer(self, job: Job) -> None:
        """Let the model answer a job, and the cache take it in."""
        finished = succeeded(job, make_answer(), self.clock())
        self.jobs.finish(finished, usage_record(finished))
        self.jobs.close_flight(job, followers=self.jobs.followers(job))
        self.store.put(make_entry(job.prompt, job.namespace), job.embedding)


def upgrade(world: World) -> None:
    """Let another embedding model take over."""
    world.embedder.version = "words-2"


def clear(world: World) -> None:
    """Clear the default tenant's cache."""
    world.store.generations["default"] = 1


def nothing(world: World) -> None:
    """Leave the world as it is."""


WALLS: dict[str, tuple[dict[str, Any], Callable[[World], None]]] = {
    "tenant": ({"tenant": "acme"}, nothing),
    "system prompt": ({"system_prompt": "Answer in French."}, nothing),
    "forced model": ({"force_model": "ollama/llama3.2"}, nothing),
    "temperature": ({"temperature": 0.7}, nothing),
    "temperature of zero": ({"temperature": 0.0}, nothing),
    "max_tokens": ({"max_tokens": 7}, nothing),
    "conversation": ({"conversation_id": "c-1"}, nothing),
    "embedder version": ({}, upgrade),
    "generation": ({}, clear),
}
each_wall = pytest.mark.parametrize("wall", WALLS)


@each_wall
def test_stored_answer(wall: str) -> None:
    """A stored answer is found beyond no wall, by its words or by others, however little similarity is asked for."""
    world = World()
    world.answer(world.ask())
    other, happens = WALLS[wall]
    within = world.look(REWORDED)
    happens(world)
    beyond = [world.look(message, min_similarity=0.0, **other) for message in (QUESTION, REWORDED)]

    assert CacheTier.SEMANTIC == within
    assert [None, None] == beyond


@each_wall
def test_way_back(wall: str) -> None:
    """What was stored beyond a wall is not found from this side of it either."""
    world = World()
    other, happens = WALLS[wall]
    happens(world)
    stored = world.ask(**other)
    world.answer(stored)
    world.embedder.version = "words-1"
    world.store.generations.clear()
    here = [world.look(message) for message in (QUESTION, REWORDED)]

    assert (stored.namespace, stored.entry_id) in world.store.entries
    assert [None, None] == here


@each_wall
def test_answer_on_its_way(wall: str) -> None:
    """A request joins no equal one beyond a wall: both are generated."""
    world = World()
    first = world.ask()
    other, happens = WALLS[wall]
    joining = world.ask()
    happens(world)
    beyond = world.ask(**other)

    assert [first.job_id, beyond.job_id] == world.dispatched
    assert [joining.job_id] == world.jobs.followers(first)


texts = st.one_of(st.none(), st.text(alphabet='a",[]\\nul0', max_size=4))
scopes = st.builds(
    Scope,
    tenant=st.text(alphabet='a",[]\\nul0', max_size=4),
    generation=st.integers(0, 2),
    embedder_version=st.sampled_from(["a", ""]),
    model=st.sampled_from(["a", ""]),
    system_prompt=texts,
    conversation_id=texts,
    history=st.lists(st.builds(Turn, **dict.fromkeys(Turn.__struct_fields__, texts.filter(bool))), max_size=2).map(
        tuple
    ),
    temperature=st.sampled_from([None, 0.0, 1.0]),
    max_tokens=st.sampled_from([None, 0, 1]),
    sampling=st.builds(
        Sampling, seed=st.sampled_from([None, 0]), stop=st.lists(texts.filter(bool), max_size=2).map(tuple)
    ),
)


@given(scopes, scopes)
def test_no_two_scopes_are_written_alike(one: Scope, other: Scope) -> None:
    """Scopes have the same namespace only when they are equal, whatever their texts pretend to be."""
    assert (one == other) is (one.namespace() == other.namespace())
