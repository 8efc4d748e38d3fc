import pytest

from llm_router.jobs import failed, usage_record
from llm_router.models import Failure
from llm_router.outlook import COUNTED, Outlook, outlook
from tests.builders import make_job
from tests.fakes import NOW_MS, FakeJobStore, SettableClock

LATER_MS = NOW_MS + 5_000


class Line:
    """Jobs in line, a second apart."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore(SettableClock())

    def add(self, name: str, expected_ms: int | None = 9_000, *, begun: bool = False, **fields: object) -> None:
        """Add a job at the end."""
        created_at_ms = NOW_MS + len(self.jobs.jobs) * 10
        usual = {"flight": None, "created_at_ms": created_at_ms, "expected_ms": expected_ms}
        self.jobs.open(make_job(name, **(usual | fields)))
        if begun:
            self.jobs.start(name, worker="w", lease_until_ms=NOW_MS + 30_000)

    def outlook(self, name: str) -> tuple[int | None, int | None]:
        """Return a job's position and estimate, five seconds after it all began."""
        seen = outlook(self.jobs, self.jobs.get(name), LATER_MS)
        return seen.position, seen.estimated_ms


@pytest.mark.parametrize(
    ("expected_ms", "begun", "seen"),
    [
        (None, False, (0, None)),
        (9_000, False, (0, 9_000)),
        (None, True, (None, None)),
        (9_000, True, (None, 4_000)),
        (3_000, True, (None, 0)),
    ],
    ids=["unknown", "waiting", "running, unknown", "running", "late"],
)
def test_alone(expected_ms: int | None, *, begun: bool, seen: tuple[int | None, int | None]) -> None:
    """Who waits has its whole time before it, who runs what is left of it, never less than nothing."""
    line = Line()
    line.add("mine", expected_ms, begun=begun)

    assert seen == line.outlook("mine")


def test_what_stands_before() -> None:
    """What is left of who runs, and all of who came before, is added; loads of theirs, and who came after, are not."""
    line = Line()
    line.add("running", 6_000, begun=True)
    line.add("unknown", None)
    line.add("before", 27_000, expected_load_ms=7_000)
    line.add("mine", 9_000, expected_load_ms=3_000)
    line.add("after", 40_000)
    line.add("overtook", 8_000, begun=True)

    assert (2, 1_000 + 3_000 + 20_000 + 9_000) == line.outlook("mine")


def test_position_goes_down() -> None:
    """Who comes before leaves the line when it begins, and what is left of it counts until it ends."""
    line = Line()
    for name in ("first", "second", "mine"):
        line.add(name)
    seen = [line.outlook("mine")]
    line.jobs.start("first", worker="w", lease_until_ms=NOW_MS + 30_000)
    seen.append(line.outlook("mine"))
    ended = failed(line.jobs.get("first"), Failure(code="model_error", message="failed"), LATER_MS)
    line.jobs.finish(ended, usage_record(ended))
    seen.append(line.outlook("mine"))

    assert [(2, 27_000), (1, 22_000), (1, 18_000)] == seen


def test_joined_request_has_the_outlook_of_the_other() -> None:
    """Who waits for another's answer waits in its place, and as long as it runs."""
    line = Line()
    for name, flight in (("first", None), ("leader", "same"), ("between", None), ("mine", "same")):
        line.add(name, flight=flight)
    waiting = line.outlook("mine")
    line.jobs.start("leader", worker="w", lease_until_ms=NOW_MS + 30_000)

    assert ((1, 18_000), (None, 4_000)) == (waiting, line.outlook("mine"))


def test_long_line() -> None:
    """The line is counted up to a hundred."""
    line = Line()
    for number in range(COUNTED + 20):
        line.add(str(number), 1_000)

    assert (COUNTED, COUNTED * 1_000 + 1_000) == line.outlook(str(COUNTED + 10))


@pytest.mark.parametrize("method", ["line", "leader"])
def test_unreadable_tables(method: str) -> None:
    """Tables that fail leave the outlook unknown."""
    line = Line()
    line.add("mine")
    line.jobs.broken = {method}

    assert (None, None) == line.outlook("mine")


def test_cloud() -> None:
    """What was expected is the box's time, and the line the box's: nothing is known of a request in the cloud."""
    line = Line()
    line.add("mine")
    line.jobs.escalate(line.jobs.get("mine"))

    assert (None, None) == line.outlook("mine")


def test_ended_request() -> None:
    """Nothing is expected of a request that has ended, and nothing read."""
    jobs = FakeJobStore(SettableClock())
    jobs.broken = {"line", "leader"}
    ended = failed(make_job(expected_ms=9_000), Failure(code="model_error", message="failed"), NOW_MS)

    assert Outlook() == outlook(jobs, ended, NOW_MS)


def test_escalated() -> None:
    """Of a request that the cloud answers, or that joined such a one, nothing is known: the line is the box's."""
    line = Line()
    for name in ("one", "two"):
        line.add(name, flight="same")
    line.jobs.escalate(line.jobs.get("one"))

    assert [(None, None)] * 2 == [line.outlook("one"), line.outlook("two")]
