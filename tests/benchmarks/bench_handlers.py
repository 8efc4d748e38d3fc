"""What answering from the cache costs besides the store: parsing, grading, hashing, embedding, building the answer."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

import chat.app
import chat.wiring
from llm_router import bootstrap
from llm_router.adapters.onnx_embedder import OnnxEmbedder
from llm_router.cache_entries import CacheEntry
from llm_router.classification import LearnedClassifier
from llm_router.conversations import Conversations
from llm_router.costs import Costs
from llm_router.models import Source, new_request_id
from llm_router.pipeline import Pipeline
from llm_router.remembering import RememberingEmbedder
from llm_router.request_bodies import ChatRequest
from llm_router.routing import Router
from llm_router.semantic_cache import SemanticCache
from llm_router.settings import RoutingSettings
from tests.fakes import TODAY, FakeBreaker, FakeCacheStore, FakeConversationStore, FakeJobStore, FakeStatusStore

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".build" / "layers" / "EmbeddingLayer" / "model"
EVENT = ROOT / "tests" / "events" / "chat.json"
RUNS = 300
STORED = "What is Python?"
ASKED = {"exact hit": STORED, "semantic hit": "what's Python"}


def rows() -> list[tuple[str, str]]:
    """Measure the chat handler with in-memory tables, and return pairs of a name and a readable value."""
    with patch.object(chat.wiring, "pipeline", _pipelines()):
        return [(name, _describe(_handler(message))) for name, message in ASKED.items()]


def _pipelines() -> Callable[[], Pipeline]:
    """Return what gives a pipeline that remembers no vector of the prompt before."""
    store = FakeCacheStore()
    embedder = OnnxEmbedder(MODEL)
    jobs = FakeJobStore(bootstrap.now_ms)
    conversations = FakeConversationStore(bootstrap.now_ms)
    pipeline = Pipeline(
        classifier=LearnedClassifier(embedder.embed),
        router=Router.from_settings(RoutingSettings(), TODAY),
        cache=SemanticCache(store, embedder, threshold=0.85, clock=bootstrap.now_ms),
        conversations=Conversations(conversations, jobs.get, bootstrap.now_ms),
        jobs=jobs,
        costs=Costs.of("0.145", "gpt-4", TODAY),
        dispatch=lambda _: None,
        breaker=FakeBreaker(),
        statuses=FakeStatusStore(),
        clock=bootstrap.now_ms,
        new_id=new_request_id,
    )
    job = pipeline.submit(ChatRequest(message=STORED), tenant="default", source=Source.HTTP)
    entry = CacheEntry(
        tenant=job.tenant,
        namespace=job.namespace,
        entry_id=job.entry_id,
        prompt=STORED,
        answer="A language. " * 50,
        model=job.model,
        input_tokens=12,
        output_tokens=100,
        created_at_ms=bootstrap.now_ms(),
        expires_at=bootstrap.now_ms() // 1000 + 3600,
    )
    store.put(entry, embedder.embed(STORED))

    def fresh() -> Pipeline:
        vectors = RememberingEmbedder(embedder)
        return replace(
            pipeline,
            classifier=LearnedClassifier(vectors.embed),
            cache=SemanticCache(store, vectors, threshold=0.85, clock=bootstrap.now_ms),
        )

    return fresh


def _handler(message: str) -> Callable[[], Any]:
    event = json.loads(EVENT.read_text()) | {"body": json.dumps({"message": message}), "isBase64Encoded": False}
    return lambda: chat.app.lambda_handler(event, None)


def _describe(handle: Callable[[], Any]) -> str:
    body = json.loads(handle()["body"])
    if not body["was_cached"]:
        raise RuntimeError(f"not a hit: {body}")
    samples = []
    for _ in range(RUNS):
        started = time.perf_counter()
        handle()
        samples.append((time.perf_counter() - started) * 1000)
    return f"p50 {statistics.median(samples):.2f} ms, p95 {statistics.quantiles(samples, n=20)[18]:.2f} ms"
