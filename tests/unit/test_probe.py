import pytest

from llm_router.accounting.box_hours import BoxMinute
from llm_router.box import BoxSighting, BoxState, InstalledModel, ResidentModel
from llm_router.box_schedule import Schedule
from llm_router.errors import ModelError, ModelUnavailableError
from probe.app import look, minute
from probe.preloading import LOAD_MS, Preloader
from probe.wiring import note_failed_load
from tests.builders import TINY
from tests.fakes import NOW_MS, FakeBox, FakeSchedule, SettableClock

STATE = BoxState(version="0.31.0", installed=(), resident=())


def test_reachable() -> None:
    """What the box says is kept with the time of the look."""
    assert BoxSighting(checked_at_ms=NOW_MS, state=STATE) == look(FakeBox(STATE), NOW_MS)


def test_unreachable() -> None:
    """A box that cannot be reached is a finding."""
    sighting = look(FakeBox(ModelUnavailableError("connection refused")), NOW_MS)

    assert BoxSighting(checked_at_ms=NOW_MS, state=None, reason="connection refused") == sighting


@pytest.mark.parametrize(
    ("schedule", "state", "expected"),
    [
        (None, None, BoxMinute.SILENT),
        (FakeSchedule(None), None, BoxMinute.SILENT),
        (FakeSchedule(1), None, BoxMinute.ASLEEP),
        (FakeSchedule(1), STATE, BoxMinute.UP),
    ],
    ids=["without hours", "within", "without", "answers all the same"],
)
def test_minute(schedule: Schedule | None, state: BoxState | None, expected: BoxMinute) -> None:
    """A box that does not answer is silent within its hours and asleep outside; one that answers runs."""
    assert expected is minute(BoxSighting(checked_at_ms=NOW_MS, state=state), schedule)


LARGE = "ollama/llama3.2"
BOTH = (InstalledModel(name="tinyllama:latest", size_bytes=1), InstalledModel(name="llama3.2:latest", size_bytes=2))
TIERS = (TINY, TINY, LARGE)
DEADLINE_MS = NOW_MS + LOAD_MS + 50_000


class World:
    """A preloader and the box it loads models of."""

    def __init__(self, *, load_takes_ms: int = 0, resident: tuple[str, ...] = ()) -> None:
        self.state = BoxState(
            version="0.31.0",
            installed=BOTH,
            resident=tuple(
                ResidentModel(name=name, size_bytes=1, context_length=1, expires_at="later") for name in resident
            ),
        )
        self.box = FakeBox(self.state)
        self.failed: list[str] = []
        clock = SettableClock(step_ms=load_takes_ms)
        self.preloader = Preloader(self.box, clock, lambda model, _: self.failed.append(model))

    def preload(self, *models: str, deadline_ms: int = DEADLINE_MS) -> bool:
        """Preload some models, and return whether any load was tried."""
        return self.preloader.preload(self.state, models, deadline_ms=deadline_ms)


def test_missing_models_are_loaded_once_each() -> None:
    """Every tier's model that is installed and not resident is loaded, whichever tiers share it."""
    cold, warm, absent = World(), World(resident=("tinyllama:latest",)), World()

    assert (True, True, False) == (cold.preload(*TIERS), warm.preload(*TIERS), absent.preload("ollama/gemma3"))
    assert [(TINY, DEADLINE_MS), (LARGE, DEADLINE_MS)] == cold.box.loads
    assert [(LARGE, DEADLINE_MS)] == warm.box.loads


def test_all_resident() -> None:
    """A box that has everything in memory is left alone."""
    world = World(resident=("tinyllama:latest", "llama3.2:latest"))

    assert (False, []) == (world.preload(*TIERS), world.box.loads)


def test_failed_load() -> None:
    """A model that cannot be loaded is reported, and the next one is loaded."""
    world = World()
    world.box.unloadable[TINY] = ModelUnavailableError("busy")

    assert world.preload(*TIERS)
    assert ([TINY], [TINY, LARGE]) == (world.failed, [model for model, _ in world.box.loads])


def test_no_time_left() -> None:
    """No load is begun that would have to be given up."""
    world, late = World(load_takes_ms=50_001), World()

    assert (True, False) == (world.preload(*TIERS), late.preload(*TIERS, deadline_ms=NOW_MS + LOAD_MS - 1))
    assert ([TINY], []) == ([model for model, _ in world.box.loads], late.box.loads)


def test_failed_load_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A model that could not be loaded is logged and counted under its name."""
    note_failed_load(TINY, ModelError("no"))
    written = capsys.readouterr().out

    assert '"PreloadFailed"' in written
    assert f'"model":"{TINY}"' in written
