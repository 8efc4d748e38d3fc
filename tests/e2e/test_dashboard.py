"""The page of figures in a real browser: what it shows is what the API says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local.dev_key import add_key
from tests.e2e.browser import CHROMIUM, Browser, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, and there is none on the PATH")

READY = "document.body?.getAttribute('aria-busy') === 'false'"
QUESTIONS = (
    "What is a comet?",
    "what's a comet",
    "What is a comet?",
    "Design a distributed cache for 10 million users",
)


@pytest.fixture(scope="module")
def key(router: Any) -> str:
    """Return a key, once some questions have been answered and counted."""
    for question in QUESTIONS:
        router.answer(question)
    router.twin.drain()
    router.twin.invoke("ProbeFunction", {})
    made: str = add_key(router.twin)
    return made


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser."""
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def shown(router: Any, tab: Browser, key: str) -> Browser:
    """Return the browser with the figures of a week in it."""
    visit(router, tab, key)
    return tab


def visit(router: Any, tab: Browser, key: str | None, **look: Any) -> None:
    """Open the page with a key that was entered before, or with none."""
    tab.look(**look)
    tab.open("about:blank")  # nothing of the page before is taken for this one
    tab.wait_until("location.href === 'about:blank'")
    entered = "sessionStorage.clear()"
    if key is not None:
        entered = f"sessionStorage.setItem('llm-router-key', {json.dumps(key)})"
    script = tab.send("Page.addScriptToEvaluateOnNewDocument", source=entered)["identifier"]
    tab.asked.clear()
    tab.complaints.clear()
    tab.open(f"{router.twin.url}/dashboard")
    tab.wait_until(f"location.pathname === '/dashboard' && {READY}")
    tab.send("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def value(tab: Browser, selector: str) -> float:
    """Return the figure behind what an element shows."""
    return float(tab.read(f"document.querySelector({json.dumps(selector)}).dataset.value"))


def text(tab: Browser, selector: str) -> str:
    """Return what an element says."""
    said: str = tab.read(f"document.querySelector({json.dumps(selector)}).innerText")
    return said


def cells(tab: Browser, table: str) -> list[list[str]]:
    """Return the rows of a table's body, as the figures behind the cells, or what they say."""
    rows: list[list[str]] = tab.read(
        f"[...document.querySelectorAll({json.dumps(table + ' tbody tr')})]"
        ".map(row => [...row.cells].map(cell => cell.dataset.value ?? cell.textContent))"
    )
    return rows


def report(router: Any, tab: Browser, name: str, **parameters: Any) -> dict[str, Any]:
    """Return the report that the page was made from."""
    zone = tab.read("Intl.DateTimeFormat().resolvedOptions().timeZone")
    period = {"days": 30, "tz": zone}
    body: dict[str, Any] = router.http.get(f"/api/v1/analytics/{name}", params=period | parameters).json()
    return body


def test_headline(router: Any, shown: Browser) -> None:
    """The headline figures are those of the summary."""
    summary = report(router, shown, "summary")

    assert 4 == summary["total_requests"]
    assert [
        summary[name] for name in ("actual_cost", "baseline_cost", "net_savings", "cache_hit_rate", "latency_p95_ms")
    ] == [value(shown, f"#{name}") for name in ("spent", "elsewhere", "saving", "hit-rate", "latency-p95")]
    assert "4 requests" in text(shown, "#spent-note")
    assert f"{summary['cache_hit_rate']:g}%" == text(shown, "#hit-rate")


def test_baselines(router: Any, shown: Browser) -> None:
    """What was spent stands beside the cost on every baseline."""
    summary = report(router, shown, "summary")
    costs = {"Spent": summary["actual_cost"]} | summary["baselines"]

    assert costs == {name: float(cost) for name, cost, _ in cells(shown, "#baselines")}


def test_days(router: Any, shown: Browser) -> None:
    """Every chart of days has a table with the figures of every day."""
    days = report(router, shown, "daily")["days"]
    spent, requests, latency = (cells(shown, f"#{chart}") for chart in ("cost", "requests", "latency"))

    assert 30 == len(days)
    assert [[each["day"], each["actual_cost"], *each["baselines"].values()] for each in days] == [
        [day, *map(float, costs)] for day, *costs in spent
    ]
    assert [[each["requests"], each["cache_hits"], each["generated_requests"]] for each in days] == [
        [int(figure) for figure in figures[1:4]] for figures in requests
    ]
    assert [str(days[-1][f"latency_{name}_ms"]) for name in ("p50", "p95", "p99")] == latency[-1][1:]


def test_shares(router: Any, shown: Browser) -> None:
    """Tiers and models are shown with their requests, and models with their cost."""
    summary, costs = report(router, shown, "summary"), report(router, shown, "costs", by="model")

    tiers = {name: int(requests) for name, requests, _ in cells(shown, "#tiers")}

    assert summary["requests_by_complexity"] == {name: requests for name, requests in tiers.items() if requests}
    assert [[each["name"], each["requests"], each["actual_cost"]] for each in costs["rows"]] == [
        [name, int(requests), float(cost)] for name, requests, _, cost, _ in cells(shown, "#models")
    ]


def test_state(router: Any, shown: Browser) -> None:
    """Queue, box and parts are as health and models say."""
    health, models = (router.http.get(path).json() for path in ("/health", "/api/v1/models"))

    assert f"ok: {health['parts']['ollama']['detail']}" in text(shown, "#box")
    assert [each["name"] for each in models["resident"]] == [row[0] for row in cells(shown, "#resident")]
    assert len(health["parts"]) == len(cells(shown, "#parts"))
    assert ["0", "0"] == shown.read(
        "[...document.querySelectorAll('#box [data-value]')].map(each => each.dataset.value)"
    )


def test_nothing_leaves_the_host(router: Any, shown: Browser, key: str) -> None:
    """The page asks the router and nobody else, its policy lets it do all it does, and the key is in no address."""
    hosts = {urlsplit(url).netloc for url in shown.asked if not url.startswith("data:")}

    assert {urlsplit(router.twin.url).netloc} == hosts
    assert [] == [url for url in shown.asked if key in url]
    assert [] == shown.complaints


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_colour_schemes(router: Any, tab: Browser, key: str, scheme: str, *, is_dark: bool) -> None:
    """The page is dark on light, or light on dark, as the reader's system is."""
    visit(router, tab, key, scheme=scheme)
    ground, letters = (
        sum(tab.read(f"getComputedStyle(document.body).{name}.match(/\\d+/g).map(Number)"))
        for name in ("backgroundColor", "color")
    )

    assert is_dark is (ground < letters)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_overflow(router: Any, tab: Browser, key: str, width: int) -> None:
    """Nothing sticks out to the side, on a phone either, and with all tables open."""
    visit(router, tab, key, width=width)
    tab.read("for (const each of document.querySelectorAll('details')) each.open = true")

    assert tab.read("document.documentElement.scrollWidth") <= width


def test_keyboard(shown: Browser) -> None:
    """Every control is reached with the tab key, in the order of the page, and opens with the enter key."""
    reached = []
    shown.read("document.activeElement.blur()")
    for _ in range(20):
        shown.press("Tab")
        reached.append(shown.read("document.activeElement.value || document.activeElement.innerText"))

    assert ["30", "Refresh", *["As a table"] * 6] == [
        each for each in reached if each in {"30", "Refresh", "As a table"}
    ][:8]
    shown.read("document.querySelector('#cost summary').focus()")
    shown.press("Enter")
    assert shown.read("document.querySelector('#cost details').open") is True


def test_charts_have_words(shown: Browser) -> None:
    """Every chart is drawn, is called a picture, and says in words what it shows."""
    charts = shown.read(
        "[...document.querySelectorAll('canvas')]"
        ".map(each => [each.getAttribute('role'), each.getAttribute('aria-label'), each.height])"
    )

    assert 6 == len(charts)
    assert all(role == "img" and len(words) > 20 and height > 100 for role, words, height in charts)


def test_another_period(router: Any, shown: Browser) -> None:
    """A chosen period is read anew."""
    shown.read("document.querySelector('input[value=\"7\"]').click()")
    shown.wait_until(f"{READY} && document.querySelectorAll('#cost tbody tr').length === 7")

    assert len(report(router, shown, "daily", days=7)["days"]) == len(cells(shown, "#cost"))


def test_key(router: Any, tab: Browser, key: str) -> None:
    """Without a key the page shows what is open and asks for one; it says when that is wrong, and tells nobody."""
    visit(router, tab, None)

    assert tab.read("document.activeElement.id") == "key"
    assert tab.read("document.getElementById('report').hidden") is True
    assert "In memory\nunknown" in text(tab, "#box")
    for entered, notice in (("sk-wrong", "The router does not accept this key."), (key, "")):
        tab.read(
            "document.body.setAttribute('aria-busy', 'true');"
            f"document.getElementById('key').value = {json.dumps(entered)}"
        )
        tab.press("Enter")
        tab.wait_until(READY)

        assert notice == text(tab, "#notice")
    assert tab.read("document.getElementById('report').hidden") is False
    assert tab.read("location.search") == ""


def test_nothing_yet(router: Any, tab: Browser) -> None:
    """A tenant without requests sees that there are none, instead of empty charts."""
    visit(router, tab, add_key(router.twin, tenant="new"))

    assert "No requests in this period yet." == text(tab, "#notice")
    assert "$0.00" == text(tab, "#spent")
    assert tab.read("document.getElementById('charts').hidden") is True


def test_picture(shown: Browser, tmp_path: Path) -> None:
    """The page can be drawn as a whole."""
    shown.screenshot(tmp_path / "dashboard.png")

    assert (tmp_path / "dashboard.png").stat().st_size > 20_000
