"""What goes with every answer: nothing is kept on the way, taken for something else, or shown to other sites."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import CHROMIUM, Browser, browser

PATHS = [
    "/health",
    "/openapi.json",
    "/docs",
    "/metrics",
    "/api/v1/models",
    "/v1/models",
    "/v1/models/none",
    "/api/v1/analytics/savings-report",
    "/api/v1/requests/req_unknown",
    "/api/v1/analytics/summary?days=0",
    "/nowhere",
]


@pytest.mark.parametrize("path", PATHS)
def test_answers_are_kept_by_nobody(router: Any, path: str) -> None:
    """Answers and errors are one caller's, and no browser takes them for a page."""
    headers = router.http.get(path).headers

    assert ("no-store", "nosniff") == (headers["cache-control"], headers["x-content-type-options"])


@pytest.mark.parametrize("path", ["/docs", "/dashboard", "/api/v1/analytics/savings-report"])
def test_pages_run_nothing_but_their_own(router: Any, path: str) -> None:
    """A page says what may run in it, and that is nothing from elsewhere and nothing inline that it does not know."""
    headers = router.http.get(path, headers={"accept": "text/html"}).headers
    policy = headers["content-security-policy"]

    assert headers["content-type"].startswith("text/html")
    assert "nosniff" == headers["x-content-type-options"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("path", ["/health", "/api/v1/models", "/v1/chat/completions", "/dashboard"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_sites_are_told_nothing(router: Any, method: str, path: str) -> None:
    """No page of another origin may read an answer, or ask with a key: there are no CORS headers at all."""
    asking = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    headers = router.http.request(method, path, headers=asking).headers

    assert [] == [name for name in headers if name.startswith("access-control-")]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser."""
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, and there is none on the PATH")
def test_docs_work_under_their_policy(router: Any, tab: Browser) -> None:
    """The page of the description shows every route, asks nobody for anything, and breaks none of its own rules."""
    tab.open(f"{router.twin.url}/docs")
    tab.wait_until("document.querySelectorAll('.opblock').length > 30")
    tab.read("document.querySelector('.opblock-summary-control').click()")
    tab.wait_until("document.querySelectorAll('.opblock-body').length > 0")

    assert [] == [each for each in tab.complaints if "favicon" not in each]
    assert {f"{router.twin.url}/docs"} == {each for each in tab.asked if each.startswith("http")}
