from hypothesis import given
from hypothesis import strategies as st

from llm_router.prompt import canonicalise
from llm_router.verification import PairVerifier

VERIFIER = PairVerifier()

NOUNS = ("castle", "river", "engine", "recipe", "tiger", "battery", "garden", "contract", "violin", "vaccine", "bridge")
OPENINGS = ("What is the", "How do I paint a", "Why does my", "Describe the", "Who built the", "Where can I buy a")
MIDDLES = ("history of the", "difference between a cup and the", "cost of every", "colour of that", "use of")


@st.composite
def questions(draw: st.DrawFn) -> str:
    """Return a made-up question."""
    words = [
        draw(st.sampled_from(OPENINGS)),
        *draw(st.lists(st.sampled_from([*NOUNS, *MIDDLES]), min_size=1, max_size=6)),
    ]
    return " ".join(words) + "?"


prompts = questions() | st.text(min_size=1, max_size=200).map(canonicalise).filter(bool)
similarities = st.floats(0.85, 1.0)


@given(prompts, prompts, similarities)
def test_is_symmetric(a: str, b: str, similarity: float) -> None:
    """It does not matter which prompt was asked first."""
    assert VERIFIER.refusal(a, b, similarity) == VERIFIER.refusal(b, a, similarity)


@given(prompts, similarities)
def test_accepts_a_prompt_with_itself(prompt: str, similarity: float) -> None:
    """Any prompt may be served its own answer."""
    assert VERIFIER.refusal(prompt, prompt, similarity) is None


@given(
    questions(),
    st.sampled_from(
        [
            str.upper,
            str.lower,
            lambda text: text.rstrip("?"),
            lambda text: f"{text}??",
            lambda text: f"  {text.replace(' ', '  ')}\n",
            lambda text: f"Please {text[0].lower()}{text[1:]}",
            lambda text: f"Hi, {text}",
            lambda text: f"Could you tell me {text}",
            lambda text: f"{text} Thanks!",
            lambda text: f"{text} Thank you very much.",
            lambda text: text.replace("What is", "What's"),
            lambda text: text.replace("What is", "Whats"),
            lambda text: text.replace("colour", "color"),
            lambda text: text.replace("tiger", "tigers").replace("battery", "batteries"),
        ]
    ),
)
def test_accepts_every_trivial_rewording(question: str, reword: object) -> None:
    """Case, punctuation, white space, politeness, contractions, spelling and plurals cost no hit."""
    reworded = canonicalise(reword(question))  # type: ignore[operator] # a function from the list

    assert VERIFIER.refusal(canonicalise(question), reworded, 0.85) is None


@given(questions(), st.integers(0, 10_000), st.integers(0, 10_000), st.data())
def test_refuses_any_change_of_a_number(question: str, one: int, other: int, data: st.DataObject) -> None:
    """Wherever a number stands, another number makes another question, however near the embedding."""
    words = question.split()
    place = data.draw(st.integers(0, len(words)))
    a, b = (" ".join([*words[:place], str(number), *words[place:]]) for number in (one, other))

    assert (one == other) == (VERIFIER.refusal(a, b, 1.0) is None)


SPELT = (
    "zero", "two", "three", "nine", "ten", "twelve", "thirteen", "nineteen", "twenty", "twenty-one", "ninety",
    "two hundred", "three thousand and five", "four million",
)  # fmt: skip
DIGITS = ("0", "2", "3", "9", "10", "12", "13", "19", "20", "21", "90", "200", "3005", "4000000")


@given(st.sampled_from(NOUNS), st.integers(0, len(SPELT) - 1), st.integers(0, len(DIGITS) - 1))
def test_reads_numbers_in_words(noun: str, spelt: int, digits: int) -> None:
    """A number in words equals the same number in digits and no other."""
    a, b = f"Tell a story about {SPELT[spelt]} {noun}s", f"Tell a story about {DIGITS[digits]} {noun}s"

    assert (spelt == digits) == (VERIFIER.refusal(a, b, 1.0) is None)
