"""The command `router` against the whole stack, started as a shell starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.dev_key import add_key
from tests.e2e.conftest import TEMPLATE, Router, stack

ROOT = TEMPLATE.parent
LINES = 50
CANCELLED_LINES = 20
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """A stack whose gateway asks about a key each time."""
    with stack(tmp_path_factory.mktemp("twin"), authorizer_ttl_seconds=0) as router:
        yield router


@pytest.fixture(scope="module")
def environ(router: Router) -> dict[str, str]:
    """What a shell has that uses the command."""
    return {
        "PATH": os.environ["PATH"],  # noqa: TID251  # the interpreter may need its system's programs
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "*",
        "ROUTER_URL": router.twin.url,
        "ROUTER_KEY": add_key(router.twin),
    }


@pytest.fixture
def run(environ: dict[str, str], tmp_path: Path) -> Run:
    """Run the command in another folder to its end."""

    def start(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command(*words), cwd=tmp_path, env=environ | more, capture_output=True, text=True, timeout=120, check=False
        )

    return start


def command(*words: str) -> list[str]:
    """Return what the launcher executes."""
    return [sys.executable, "-P", "-m", "infra.cli", *words]


def prompts(first: int, count: int) -> str:
    """Return lines of a batch, the third of which is no request."""
    lines: list[dict[str, Any]] = [
        {"custom_id": f"c{number}", "message": f"What is number {number}?"} for number in range(first, first + count)
    ]
    lines[2]["message"] = ""
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_a_night_of_prompts(router: Router, run: Run, environ: dict[str, str], tmp_path: Path) -> None:
    """A batch that is handed over twice is one, and an interrupted download of its results is gone on with."""
    (tmp_path / "prompts.jsonl").write_text(prompts(0, LINES))
    submitted, again = run("batch", "submit", "prompts.jsonl"), run("batch", "submit", "prompts.jsonl")
    batch_id = submitted.stdout.strip()
    fetch = ("batch", "results", batch_id, "--wait", "--output", "results.jsonl")
    with subprocess.Popen(command(*fetch), cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True) as interrupted:
        assert interrupted.stderr is not None
        interrupted.stderr.readline()  # it has begun, and tells how far the batch is
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate(timeout=60)
    watched = run("batch", "status", batch_id, "--watch", "--json")
    results = tmp_path / "results.jsonl"
    torn = results.read_bytes() + b'{"line":'
    results.write_bytes(torn)
    fetched, whole = run(*fetch), run("batch", "results", batch_id)
    state = json.loads(watched.stdout)
    lines = [json.loads(line) for line in whole.stdout.splitlines()]

    assert [0, 0] == [submitted.returncode, again.returncode]
    assert submitted.stdout == again.stdout
    assert "line 3: message: " in submitted.stderr
    assert interrupted.returncode in {1, 130}  # 1 where the box was quicker than the signal
    assert [1, 1, 1] == [watched.returncode, fetched.returncode, whole.returncode]
    assert (LINES, LINES - 1, 1) == (state["lines"], state["succeeded"], state["invalid"])
    assert list(range(1, LINES + 1)) == [line["line"] for line in lines]
    assert whole.stdout.encode() == results.read_bytes()


def test_another_file(run: Run, tmp_path: Path) -> None:
    """Results of one batch are not appended to those of another."""
    for name, first in (("a", 100), ("b", 200)):
        (tmp_path / name).write_text(prompts(first, 3))
    first, second = (run("batch", "submit", name, "--wait", "--output", f"{name}.out") for name in ("a", "b"))
    kept = (tmp_path / "a.out").read_bytes()
    other = json.loads((tmp_path / "b.out").read_text().splitlines()[0])
    mixed = run("batch", "submit", "b", "--wait", "--output", "a.out")

    assert [1, 1, 2] == [first.returncode, second.returncode, mixed.returncode]
    assert kept == (tmp_path / "a.out").read_bytes()
    assert "c200" == other["custom_id"]


def test_cancel(run: Run, tmp_path: Path) -> None:
    """A cancelled batch ends, with a result for every line."""
    (tmp_path / "prompts.jsonl").write_text(prompts(300, CANCELLED_LINES))
    batch_id = run("batch", "submit", "prompts.jsonl").stdout.strip()
    cancelled = run("batch", "cancel", batch_id, "--json")
    ended = run("batch", "status", batch_id, "--watch", "--json")
    results = run("batch", "results", batch_id, "--wait")

    assert (0, 1) == (cancelled.returncode, ended.returncode)
    assert json.loads(cancelled.stdout)["status"] in {"cancelling", "cancelled"}
    assert "cancelled" == json.loads(ended.stdout)["status"]
    assert (1, CANCELLED_LINES) == (results.returncode, len(results.stdout.splitlines()))


def test_chat_and_report(router: Router, run: Run) -> None:
    """An answer is printed, comes from the cache the second time, and the report's figures are the API's."""
    first, second = run("chat", "What is a sextant?"), run("chat", "What is a sextant?", "--json")
    router.twin.drain()
    table, whole = run("report", "--days", "2"), run("report", "--days", "2", "--format", "json")
    csv = run("report", "--days", "2", "--format", "csv")
    summary = router.summary()
    costs = router.http.get("/api/v1/analytics/costs", params={"days": 2}).json()

    assert [0] * 5 == [each.returncode for each in (first, second, table, whole, csv)]
    answer = json.loads(second.stdout)
    assert ("exact", f"{answer['response']}\n") == (answer["cache_tier"], first.stdout)
    report = json.loads(whole.stdout)
    assert (summary["total_requests"], summary["actual_nano_usd"]) == (
        report["summary"]["total_requests"],
        report["summary"]["actual_nano_usd"],
    )
    assert costs["rows"] == report["costs"]["rows"]
    assert f"{summary['actual_nano_usd'] / 1e9:.9f} USD" in table.stdout
    assert csv.stdout.startswith("day,")


def test_keys(router: Router, run: Run, tmp_path: Path) -> None:
    """A key that was made works from a file, may do no more than it was made for, and ends when it is revoked."""
    made = run("keys", "create", "--tenant", "acme", "--label", "team=search")
    (tmp_path / "acme.key").write_text(made.stdout)
    listed = json.loads(run("keys", "list", "--json").stdout)["keys"]
    (key_id,) = (key["key_id"] for key in listed if key["tenant"] == "acme")
    asks = ("--key-file", "acme.key", "chat", "Who am I?")
    works, forbidden = run(*asks), run("--key-file", "acme.key", "keys", "list")
    rotated = run("keys", "rotate", key_id)
    former = run(*asks)
    (tmp_path / "acme.key").write_text(rotated.stdout)
    works_again = run(*asks)
    revoked, ended, table = run("keys", "revoke", key_id), run(*asks), run("keys", "list")

    assert [0, 0, 3] == [made.returncode, works.returncode, forbidden.returncode]
    assert "this needs a key with the role admin (403 forbidden)" in forbidden.stderr
    assert [0, 3, 0] == [rotated.returncode, former.returncode, works_again.returncode]
    assert [0, 3, 0] == [revoked.returncode, ended.returncode, table.returncode]
    assert "revoked" in next(line for line in table.stdout.splitlines() if key_id in line)


def test_refusals(run: Run) -> None:
    """The router's own words tell what was wrong; a router that is not there is another exit code."""
    refused = run("chat", "What is a tree?", "--max-tokens", "0")
    missing = run("batch", "status", f"batch_{'0' * 32}")
    alone = run("chat", "Hello?", ROUTER_URL="http://127.0.0.1:9")

    assert [3, 3, 4] == [refused.returncode, missing.returncode, alone.returncode]
    assert "router: max_tokens: " in refused.stderr
    assert "no such batch (404 not_found)" in missing.stderr
