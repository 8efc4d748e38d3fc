"""When the end of a batch is announced, whatever changes last, and whoever dies over it."""

from itertools import permutations

import pytest

from llm_router.accounting.rollups import usage_event
from llm_router.batching.batches import Batch, LineError
from llm_router.batching.replies import reply_of
from llm_router.errors import StoreError
from llm_router.jobs import failed, succeeded
from llm_router.models import Delivery, Failure, Source
from notify.completion import BatchCompleted, Completion
from tests.builders import make_answer, make_job, make_usage
from tests.fakes import NOW_MS, FakeBatchStore, FakeJobStore, FakeRollupStore, SettableClock

BATCH = Batch(batch_id=f"batch_{'0' * 32}", tenant="acme", created_at_ms=NOW_MS)
ERROR = LineError(code="invalid_request", message="is not configured")


class World:
    """A batch of four lines, of which one is no request and one is refused by the router, and who listens."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.batches = FakeBatchStore(FakeJobStore(self.clock), self.clock)
        self.batches.open(BATCH)
        self.rollups = FakeRollupStore()
        self.told: list[BatchCompleted] = []
        self.deaf = False
        self.completion = Completion(
            batches=self.batches, rollups=self.rollups, announce=self.announce, clock=self.clock
        )

    def announce(self, detail: BatchCompleted) -> None:
        """Listen, or do not."""
        if self.deaf:
            raise StoreError("announcing failed")
        self.told.append(detail)

    def read(self) -> None:
        """Read the input to its end."""
        self.batches.note_input(BATCH.batch_id, lines=4, invalid=1, complete=True)

    def refuse(self) -> None:
        """Refuse a line that was sent on."""
        self.batches.refuse_line(BATCH.batch_id, 2, None, ERROR, sent=True)

    def count(self) -> None:
        """Count what two lines came to."""
        usages = [
            make_usage("1", batch_id=BATCH.batch_id),
            make_usage("2", batch_id=BATCH.batch_id, status="failed", baseline_nano_usd=0),
        ]
        self.rollups.add([usage_event(usage) for usage in usages])


def test_whatever_comes_last() -> None:
    """The end is announced once, by whoever looks after the last change, in whatever order the changes come."""
    for order in permutations(("read", "refuse", "count")):
        world = World()
        told = []
        for what in order:
            getattr(world, what)()
            told.append(world.completion.check(BATCH.batch_id))
            world.completion.check(BATCH.batch_id)

        assert [False, False, True] == told
        assert [
            BatchCompleted(
                batch_id=BATCH.batch_id,
                tenant="acme",
                lines=4,
                succeeded=1,
                failed=1,
                cancelled=0,
                invalid=2,
                hits=0,
                actual_cost=0.0000014,
                baseline_cost=0.0015,
            )
        ] == world.told


def test_announcement_that_fails() -> None:
    """An end that could not be announced is announced by the next try."""
    world = World()
    for what in (world.read, world.refuse, world.count):
        what()
    world.deaf = True
    with pytest.raises(StoreError):
        world.completion.check(BATCH.batch_id)
    world.deaf = False

    assert world.completion.check(BATCH.batch_id)


def test_death_between_telling_and_noting() -> None:
    """An end that was announced, and not noted, is announced again: nobody misses it."""
    world = World()
    for what in (world.read, world.refuse, world.count):
        what()
    world.batches.broken = {"announced"}
    with pytest.raises(StoreError):
        world.completion.check(BATCH.batch_id)
    world.batches.broken = set()
    world.completion.check(BATCH.batch_id)

    assert 2 == len(world.told)


def test_input_that_broke_off() -> None:
    """A batch whose input could not be read to its end has ended when the lines that were read have."""
    world = World()
    world.batches.note_input(BATCH.batch_id, lines=2, invalid=0, complete=False, error="the file was replaced")
    world.count()

    assert world.completion.check(BATCH.batch_id)
    assert "the file was replaced" == world.told[0].input_error


@pytest.mark.parametrize("name", ["2023-11-14", f"batch_{'f' * 32}", ""])
def test_no_batch(name: str) -> None:
    """A tenant that is called batch has rows of that name, and a batch that has expired has counters."""
    assert not World().completion.check(name)


def test_reply() -> None:
    """A reply has what its receiver needs to know it by, and the answer or the error with what it cost."""
    job = make_job(source=Source.SQS, delivery=Delivery(custom_id="c", reply_to="url"))
    answered = reply_of(succeeded(job, make_answer(baseline_nano_usd=1_500_000), NOW_MS))
    lost = reply_of(failed(job, Failure(code="model_timeout", message="too late"), NOW_MS))

    assert ("req_1", "c", "succeeded", "A language.", False, 0.000003, 0.0015) == (
        answered.request_id,
        answered.custom_id,
        answered.status,
        answered.response,
        answered.was_cached,
        answered.actual_cost,
        answered.baseline_cost,
    )
    assert ("failed", None, LineError(code="model_timeout", message="too late")) == (
        lost.status,
        lost.response,
        lost.error,
    )
