"""What a batch of 1,000 lines comes to: 300 repeats, 200 rewordings, 20 that are nothing; takes some minutes."""

import time
from collections import Counter
from pathlib import Path
from typing import Final

from infra.local.ollama_stand_in import OllamaStandIn
from infra.local.twin import Twin
from tests.batch_load import load, look, records, results, submit, wait
from tests.keyed import keyed_client

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
LINES: Final = 1000
SEED: Final = 12
ENVIRONMENTS: Final = 6
PATIENCE_SECONDS: Final = 3600


def rows() -> list[tuple[str, str]]:
    """Hand a batch in, ask one question in the middle, and return pairs of a name and a readable value."""
    night = load(LINES, seed=SEED)
    log_path = TEMPLATE.parent / ".build" / "batch.log"
    with (
        log_path.open("w") as log,
        OllamaStandIn() as box,
        Twin(
            TEMPLATE, environment_overrides={"OLLAMA_BASE_URL": box.base_url}, max_environments=ENVIRONMENTS, log=log
        ) as twin,
        keyed_client(twin) as http,
    ):
        began = time.monotonic()
        batch_id = submit(http, night.body)["batch_id"]
        taken_seconds = time.monotonic() - began
        while (state := look(http, batch_id))["progress"] < 1 / 2:
            time.sleep(1)
        asked = time.monotonic()
        http.post("/api/v1/chat", json={"message": "Where was the first zeppelin seen?"}).raise_for_status()
        answer_seconds = time.monotonic() - asked
        pending = look(http, batch_id)["pending"]
        state = wait(http, batch_id, seconds=PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        read = time.monotonic()
        answered = [row for row in results(http, batch_id, limit=LINES) if row["response"] is not None]
        read_seconds = time.monotonic() - read
        kept = records(twin, batch_id)
        texts = Counter(call.messages[-1].content for call in box.calls)
    spent = sum(int(item["actual_nano_usd"]["N"]) for item in kept)
    return [
        ("lines", f"{state['lines']}, taken in within {taken_seconds:.1f} s, answered within {seconds:.0f} s"),
        ("  of them", f"{state['succeeded']} succeeded, {state['failed']} failed, {state['invalid']} invalid"),
        ("generations", f"{len(texts) - 1} for {len(night.originals)} questions, of one text {max(texts.values())}"),
        ("hits", str(state["hits"])),
        ("results", f"{len(answered)} answers read within {read_seconds:.1f} s"),
        (
            "records",
            f"{len(kept)}, costs {'equal' if spent == state['actual_nano_usd'] else 'NOT equal'} to the batch's",
        ),
        ("a caller in the middle", f"waited {answer_seconds:.1f} s, {pending} lines were still waiting"),
    ]
