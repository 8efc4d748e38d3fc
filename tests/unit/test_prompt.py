import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_router.prompt import canonicalise, entry_id

PROMPT_LIKE = st.text(
    st.sampled_from('ab1²½ﬁ①\u00a0\u3000\u2028 \t\r\n`"\u0301é\ufeff~\uff02\uff40\u1fef') | st.characters(), max_size=40
)


@given(PROMPT_LIKE)
@example("```a  \n b")
@example("  \r\n\r x \n\n  y ``` `` ```\t")
@example("²\u0301 ½\u0338")
@example('\uff02 x "a  ﬁ"')
@example("\uff40 x `a  ﬁ`")
@example("\u1fef x `a  ﬁ`")
@example("\u0385" + "\u0301\u0323" * 15)
@example("a" + "\u0f73" * 20 + "\u0f73\u0344" * 20)
def test_idempotent(text: str) -> None:
    """The canonical form of a canonical form is itself."""
    once = canonicalise(text)

    assert once == canonicalise(once)


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1), min_size=1), st.data())
def test_white_space_between_words(words: list[str], data: st.DataObject) -> None:
    """However much white space separates and surrounds the words of a line, the canonical form is the same."""
    space = st.text(st.sampled_from(" \t\u00a0\u3000"), min_size=1, max_size=3)
    spaced = data.draw(space).join(["", *words, ""])

    assert canonicalise(" ".join(words)) == canonicalise(spaced)


@pytest.mark.parametrize("one", ["10²", "CO₂", "1½", "x⁻¹", "\u211d", "①", "⒈5"])
def test_raised_lowered_and_fractional_characters_stay(one: str) -> None:
    """A raised, lowered, circled or double-struck character is not made plain: that would be another question."""
    assert one == canonicalise(one)


def test_powers_are_not_numbers() -> None:
    """10² and 102, and 1½ and 11/2, have different exact keys."""
    keys = {entry_id(canonicalise(text)) for text in ("10²", "102", "1½", "11/2", "1 1/2")}

    assert 5 == len(keys)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("ﬁle", "file"),
        ("\uff30ython\uff1f", "Python?"),
        ("e\u0301", "é"),
        ("a\u00a0b", "a b"),
        ("10² ﬁles", "10² files"),
        ("\u249c or b", "(a) or b"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("one \n \n\n two", "one\n two"),
        ("  What   is\tPython?\n\n", "What is Python?"),
        ("", ""),
        (" \n\t ", ""),
    ],
)
def test_same_question(written: str, same: str) -> None:
    """Compatibility characters, line ends, and outer and repeated white space make no difference."""
    assert same == canonicalise(written)


@pytest.mark.parametrize(
    "text",
    [
        "Fix:\n```python\nif x:\n    a  =  1\n\n\n    b = 2\n```\nthanks",
        "unfinished:\n```\nx   =  1",
        "for x in y:\n    print(x)\n  done",
        "    indented = 1\n    as_well = 2",
        "what does `a  ==  b` print?",
        'is "two  spaces" the same as "ﬁ"?',
    ],
)
def test_code_is_kept(text: str) -> None:
    """White space inside code and quotes, and at the beginning of a line, where it may be code, stays."""
    assert text == canonicalise(text)


def test_case_and_punctuation_stay() -> None:
    """Letters' case and punctuation are part of the question."""
    assert "what is  Python".replace("  ", " ") != canonicalise("What is Python?")


@pytest.mark.parametrize("mark", ["\u0301\u0323", "\u0f73", "`\u0301\u0323"])
def test_marks_without_end(mark: str) -> None:
    """Marks are put in order as far as a language needs it; beyond, where that would take seconds, they stay."""
    letter, marks = mark[:-2], mark[-2:]
    few, many = f"{letter}x{marks * 2}", f"{letter}x{marks * 31}"

    assert few != canonicalise(few)
    assert many == canonicalise(many)


def test_entry_id_is_sha256() -> None:
    """The exact key is the SHA-256 of the canonical prompt in UTF-8, in hex."""
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == entry_id("abc")
