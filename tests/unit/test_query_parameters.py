"""Parameters of a query are known, and whole numbers are in their range."""

import pytest

from llm_router.errors import InvalidRequestError
from llm_router.query_parameters import only_known, whole_number


def test_known() -> None:
    """What is known is handed on."""
    assert {"after": "7"} == only_known({"after": "7"}, {"after", "limit"})


def test_unknown() -> None:
    """A parameter that is not known is named, as far as a name can be long, and nothing is done without it."""
    with pytest.raises(InvalidRequestError, match="is not a known parameter") as caught:
        only_known({"tenant": "acme", "x" * 100: ""}, {"tenant"})

    assert "x" * 64 == caught.value.field


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("100", 100)])
def test_number(text: str, number: int) -> None:
    """A whole number from the least to the most is taken."""
    assert number == whole_number({"limit": text}, "limit", least=0, most=100, default=3)


def test_default() -> None:
    """A parameter that is not there has its default."""
    assert 3 == whole_number({}, "limit", least=1, most=100, default=3)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "0", "101", "9" * 5000, "²", " 1"])
def test_no_number(text: str) -> None:
    """Everything else is refused by name, however long."""
    with pytest.raises(InvalidRequestError, match="must be a whole number from 1 to 100") as caught:
        whole_number({"limit": text}, "limit", least=1, most=100, default=3)

    assert "limit" == caught.value.field
