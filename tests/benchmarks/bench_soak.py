"""What 500 mixed requests of 20 callers come to while the box errs and workers are killed; takes some minutes."""

from pathlib import Path
from typing import Final

from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.soak import soak

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
REQUESTS: Final = 500
KILLS: Final = 10
SEED: Final = 11
ENVIRONMENTS: Final = 6
"""Of each function; a developer's machine has no more cores than that."""


def rows() -> list[tuple[str, str]]:
    """Soak, and return pairs of a name and a readable value."""
    log_path = TEMPLATE.parent / ".build" / "soak.log"
    with (
        log_path.open("w") as log,
        OllamaStandIn() as box,
        Twin(
            TEMPLATE,
            environment_overrides={"OLLAMA_BASE_URL": box.base_url},
            max_environments=ENVIRONMENTS,
            log=log,
        ) as twin,
    ):
        report = soak(twin, box, count=REQUESTS, kills=KILLS, seed=SEED)
    accepted = {each.request_id for each in report.outcomes if each.request_id}
    recorded = {each["request_id"]["S"] for each in report.records}
    return [
        *report.rows(),
        ("lost", f"{len(report.unfinished)} unfinished, {len(accepted - recorded)} without a usage record"),
        ("mixed up", f"{len(report.mixed_up)} answers to another question"),
        ("doubled", f"{report.summary['total_requests'] - len(accepted)} more in the analytics than were accepted"),
        ("analytics", "equal to the usage records" if report.booked == report.recorded else "NOT the usage records"),
    ]
