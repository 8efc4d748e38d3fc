import base64
import hashlib
import re

from status.dashboard import page

TAGS = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def directives() -> dict[str, list[str]]:
    """Return the page's content security policy, by directive."""
    parts = (each.split() for each in page().headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


def test_one_piece() -> None:
    """Everything is inside the page: Chart.js with its licence, the scripts and the style; nothing is loaded."""
    html = page().html

    assert ["style", "script", "script", "script", "script"] == [kind for kind, _ in TAGS.findall(html)]
    assert "Copyright (c) 2014-2024 Chart.js Contributors" in html
    assert [] == re.findall(r'\s(?:src|href|action)="(?!data:,")', html)
    assert html.count("<script") == html.count("</script>")


def test_policy() -> None:
    """Only the page's own scripts and styles run, each known by its hash, and only the router itself is asked."""
    rules = directives()
    hashes = {
        kind: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for kind, text in reversed(TAGS.findall(page().html))
    }

    assert ["'none'"] == rules["default-src"] == rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"]
    assert ["'self'"] == rules["connect-src"]
    assert (4, 1) == (len(rules["script-src"]), len(rules["style-src"]))
    assert hashes["script"] in rules["script-src"]
    assert [hashes["style"]] == rules["style-src"]
    assert "unsafe" not in page().headers["Content-Security-Policy"]


def test_only_text_is_written() -> None:
    """No script of ours makes markup out of data."""
    own = [text for kind, text in TAGS.findall(page().html) if kind == "script"][1:]

    assert [] == re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", "".join(own))


def test_tag() -> None:
    """One who has the page, as told by its tag among others, is not sent it again; one who has another is."""
    tag = page().headers["ETag"]
    answers = [page().answer(known) for known in (None, tag, f'"x", {tag}', 'W/"x"')]

    assert [(200, True), (304, False), (304, False), (200, True)] == [
        (status, bool(html)) for status, html, _ in answers
    ]
    assert all(headers["ETag"] == tag for *_, headers in answers)
