import pytest

from analytics.accepting import choose
from llm_router.errors import NotAcceptableError

OFFERED = ("application/json", "text/csv", "text/html")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8; Q=1", "text/csv"),
        (BROWSER, "text/html"),
        ("text/csv;q=0.5, text/html;q=0.7, image/png", "text/html"),
        ("text/*;q=0.9, text/csv;q=0, */*;q=0.1", "text/html"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=high, */*;q=0.1", "application/json"),
    ],
)
def test_choose(accept: str, chosen: str) -> None:
    """The form with the highest quality is chosen, by the most specific range that it is in."""
    assert chosen == choose(accept, OFFERED)


@pytest.mark.parametrize(
    "accept", ["image/png", "text/csv;q=0", "*/*;q=0.0", "csv", ",", "application/json;q=nan", "text/csv;q=2"]
)
def test_not_acceptable(accept: str) -> None:
    """Who accepts none of the forms is told so."""
    with pytest.raises(NotAcceptableError) as caught:
        choose(accept, OFFERED)

    assert "accept" == caught.value.field
