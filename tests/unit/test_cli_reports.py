import json
from typing import Any

import httpx
import pytest

from tests.cli import ScriptedRouter, Shell, error

SUMMARY_PATH, COSTS_PATH = "GET /api/v1/analytics/summary", "GET /api/v1/analytics/costs"
ROW = {
    "name": "ollama/[b]",
    "requests": 12,
    "cache_hits": 5,
    "input_tokens": 210,
    "output_tokens": 627,
    "actual_nano_usd": 1_751_146,
    "baseline_nano_usd": 43_920_000,
    "net_savings_nano_usd": 42_168_854,
}
SUMMARY: dict[str, Any] = {
    "period": {"first_day": "2026-11-01", "last_day": "2026-11-02", "time_zone": "UTC"},
    "tenant": "acme",
    "total_requests": 12,
    "failed_requests": 1,
    "cache_hits": 5,
    "cache_hit_rate": 41.67,
    "input_tokens": 210,
    "output_tokens": 627,
    "actual_nano_usd": 1_751_146,
    "baseline_model": "gpt-4",
    "baseline_nano_usd": 43_920_000,
    "net_savings_nano_usd": -5,
    "latency_p50_ms": None,
    "latency_p95_ms": 1_234,
    "fully_loaded": {"total_nano_usd": 7, "region": "us-east-1"},
    "new_field": [],
}
COSTS = {"rows": [ROW], "totals": ROW | {"name": "total", "baseline_nano_usd": None}}
KEYS = "/api/v1/keys"
KEY: dict[str, Any] = {
    "key_id": "key_0123456789ab",
    "status": "active",
    "hint": "llmr_abcd",
    "tenant": "acme",
    "role": "user",
    "labels": {"team": "search"},
    "created_at_ms": 1_790_000_000_000,
    "expires_at_ms": None,
    "former_until_ms": None,
}
SECRET = "llmr_the_secret"


@pytest.fixture
def reports() -> ScriptedRouter:
    """A router with figures."""
    router = ScriptedRouter().on(SUMMARY_PATH, httpx.Response(200, json=SUMMARY))
    return router.on(COSTS_PATH, httpx.Response(200, json=COSTS))


def test_table(reports: ScriptedRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has exact amounts, says what is unknown, and takes no name for markup."""
    assert 0 == Shell(reports)("report")
    out = " ".join(capsys.readouterr().out.split())

    assert "2026-11-01 to 2026-11-02 (UTC), tenant acme" in out
    assert "net savings -0.000000005 USD" in out
    assert "fully loaded cost 0.000000007 USD" in out
    assert "latency unknown at the median, 1,234 ms at p95" in out
    assert "ollama/[b] 12 5 210+627 0.001751146 0.043920000 0.042168854" in out
    assert "total 12 5 210+627 0.001751146 unknown 0.042168854" in out


def test_period(reports: ScriptedRouter) -> None:
    """What was said of the period is handed on as it is, and nothing else."""
    words = ("--from", "2026-11-01", "--to", "2026-11-02", "--tz", "Europe/Berlin", "--tenant", "all")
    Shell(reports)("report", *words)
    Shell(reports)("report", "--days", "7")
    summary, costs, week, _ = (dict(request.url.params) for request in reports.requests)

    assert {"from": "2026-11-01", "to": "2026-11-02", "tz": "Europe/Berlin", "tenant": "all"} == summary == costs
    assert {"days": "7"} == week


def test_report_as_json(reports: ScriptedRouter, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON a report is the two of the API, with all their fields."""
    assert 0 == Shell(reports)("report", "--format", "json")
    assert {"summary": SUMMARY, "costs": COSTS} == json.loads(capsys.readouterr().out)


def test_report_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    """As CSV it is the savings report, byte by byte."""
    router = ScriptedRouter().on("GET /api/v1/analytics/savings-report", httpx.Response(200, text="day,a\r\n1,2\r\n"))

    assert 0 == Shell(router)("report", "--format", "csv")
    assert "day,a\r\n1,2\r\n" == capsys.readouterr().out
    assert "text/csv" == router.requests[0].headers["accept"]


def test_refused_period(capsys: pytest.CaptureFixture[str]) -> None:
    """A period that the router refuses is exit code 3, and its field is named."""
    refused = httpx.Response(422, json=error("invalid_request", "must be 1 to 366", "days"))

    assert 3 == Shell(ScriptedRouter().on(SUMMARY_PATH, refused))("report", "--days", "0")
    assert "router: days: must be 1 to 366 (422 invalid_request)\n" == capsys.readouterr().err


def test_create(capsys: pytest.CaptureFixture[str]) -> None:
    """The secret is printed once, alone, to the standard output; all that was said of the key is sent."""
    router = ScriptedRouter().on(f"POST {KEYS}", httpx.Response(201, json=KEY | {"secret": SECRET}))
    words = "--tenant acme --role admin --model a --model b --label team=a=b --expires-days 90"
    limits = "--requests-per-minute 5 --tokens-per-minute 6 --concurrent-requests 7 --monthly-budget-usd 1.5"
    code = Shell(router)("keys", "create", *words.split(), *limits.split(), "--low-budget", "downgrade")
    out, err = capsys.readouterr()

    assert (0, f"{SECRET}\n") == (code, out)
    assert "key_0123456789ab: active, user of acme\n" == err
    assert {
        "tenant": "acme",
        "role": "admin",
        "allowed_models": ["a", "b"],
        "labels": {"team": "a=b"},
        "expires_in_seconds": 7_776_000,
        "limits": {
            "requests_per_minute": 5,
            "tokens_per_minute": 6,
            "concurrent_requests": 7,
            "monthly_budget_nano_usd": 1_500_000_000,
            "low_budget_policy": "downgrade",
        },
    } == json.loads(router.requests[0].content)


def test_create_the_simplest() -> None:
    """What was not said is left to the router."""
    router = ScriptedRouter().on(f"POST {KEYS}", httpx.Response(201, json=KEY | {"secret": SECRET}))
    Shell(router)("keys", "create", "--tenant", "acme")

    assert {"tenant": "acme", "role": "user"} == json.loads(router.requests[0].content)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """All keys are listed, a line each, or as the API said them."""
    answer = httpx.Response(200, json={"keys": [KEY, KEY | {"key_id": "key_1", "expires_at_ms": 1_790_000_000_000}]})
    router = ScriptedRouter().on(f"GET {KEYS}", answer)
    codes = [Shell(router)("keys", "list"), Shell(router)("keys", "list", "--json")]
    out, _ = capsys.readouterr()

    assert [0, 0] == codes
    assert "key_0123456789ab active user acme llmr_abcd… 2026-09-21 never team=search" in " ".join(out.split())
    assert out.endswith(f"{answer.text}\n")


def test_list_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys that come page by page are one list."""
    pages = [{"keys": [KEY], "next_after": KEY["key_id"]}, {"keys": [KEY | {"key_id": "key_2"}], "next_after": None}]
    router = ScriptedRouter().on(f"GET {KEYS}", *(httpx.Response(200, json=page) for page in pages))
    code = Shell(router)("keys", "list")
    out, _ = capsys.readouterr()

    assert (0, 1) == (code, out.count("labels"))
    assert [1, 1] == [out.count(key_id) for key_id in (KEY["key_id"], "key_2")]
    assert ["", f"after={KEY['key_id']}"] == [request.url.query.decode() for request in router.requests]


def test_rotate_and_revoke(capsys: pytest.CaptureFixture[str]) -> None:
    """Another secret is printed like the first; a revoked key is told of beside the standard output."""
    rotated = KEY | {"secret": SECRET, "former_until_ms": 1_790_000_000_000}
    router = ScriptedRouter().on(f"POST {KEYS}/key_1/rotate", httpx.Response(200, json=rotated))
    router.on(f"DELETE {KEYS}/key_1", httpx.Response(200, json=KEY | {"status": "revoked"}))
    codes = [
        Shell(router)("keys", "rotate", "key_1", "--grace-seconds", "60"),
        Shell(router)("keys", "revoke", "key_1"),
    ]
    out, err = capsys.readouterr()

    assert ([0, 0], f"{SECRET}\n") == (codes, out)
    assert {"grace_seconds": 60} == json.loads(router.requests[0].content)
    assert "the former secret works until 2026-09-21 14:13:20Z" in err
    assert "key_0123456789ab: revoked" in err


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (httpx.ReadTimeout("slow"), 1),
        (httpx.RemoteProtocolError("cut"), 1),
        (httpx.Response(503), 1),
        (httpx.Response(429), 5),
        (httpx.ConnectError("refused"), 5),
    ],
)
@pytest.mark.parametrize("words", [("create", "--tenant", "acme"), ("rotate", "key_1")], ids=["create", "rotate"])
def test_secrets_are_made_once(
    words: tuple[str, ...], answer: httpx.Response | Exception, attempts: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What may have made a secret is not sent again, because a second one would end the first, or leave it lying."""
    router = ScriptedRouter().on(f"POST {KEYS}", answer).on(f"POST {KEYS}/key_1/rotate", answer)
    code = Shell(router)("keys", *words)

    assert (attempts, "") == (len(router.requests), capsys.readouterr().out)
    assert code in {3, 4}


def test_id_is_no_path() -> None:
    """An id with slashes leads to no other route."""
    router = ScriptedRouter().on(f"DELETE {KEYS}/../batches", httpx.Response(404, json=error("not_found", "no")))
    Shell(router)("keys", "revoke", "../batches")

    assert b"/api/v1/keys/..%2Fbatches" == router.requests[0].url.raw_path
