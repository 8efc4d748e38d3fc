import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router import freshness
from llm_router.classification.terms import Group
from llm_router.freshness import is_time_dependent
from llm_router.prompt import canonicalise

STORY = (
    "Tom has five apples today. His sister, who is twice as old as he is, gives him seven more than he ate last night,"
    " which were two fewer than today. How many apples has Tom got now?"
)


@pytest.mark.parametrize(
    "prompt",
    [
        "What time is it?",
        "what TIME is it in Tokyo",
        "What's the time?",
        "whats the time now",
        "what is today's date",
        "What\u2019s today\u2019s date?",
        "What day is it?",
        "what's the date",
        "what is the weather",
        "usd to eur exchange rate",
        "Write a summary of the latest news",
        "How many days until Christmas?",
        "How long until the new year?",
        "When does the next train to London leave?",
        "What is the temperature in Paris?",
        "What's the news?",
        "BTC price",
        "How much is a Bitcoin?",
        "When is the next solar eclipse?",
        "What's the weather like in Oslo?",
        "tomorrow's weather",
        "Will it rain in Leeds tonight?",
        "What is the current price of Bitcoin?",
        "What is Apple's stock price?",
        "What is the exchange rate between euros and yen?",
        "Who is the current president of France?",
        "Who is the president of Peru?",
        "Who's the CEO of Ford?",
        "How old is Madonna?",
        "What is the latest version of Python?",
        "Which phone is best right now?",
        "Who is currently the highest paid actor?",
        "What films come out this week?",
        "Who won the match last night?",
        "Any news about the strike?",
        "Summarize today's news",
        '"What time is it?"',
        "`what day is it`",
    ],
)
def test_time_dependent(prompt: str) -> None:
    """A question about the clock, the day, the weather, a price, news or the present depends on when it is asked."""
    assert is_time_dependent(canonicalise(prompt))


@pytest.mark.parametrize(
    "prompt",
    [
        "What is a binary tree?",
        "What is alternating current?",
        "How does electric current flow through a resistor?",
        "What is the current in a 5 ohm resistor at 10 V?",
        "Why is direct current used in batteries?",
        "What does a current account cost a bank?",
        "How do I print the current working directory?",
        "How do I get the current time in Python?",
        "How do concurrent writers lock a row?",
        "Explain the time complexity of quicksort",
        "What is the time complexity of a hash table lookup?",
        "binary search time",
        "What is the time difference between Paris and Delhi?",
        "time zone difference between Tokyo and London",
        "Why are some designs timeless?",
        "Explain the present tense",
        "Do I know what I need to know?",
        "What is a snowstorm?",
        "What does `git tag latest` do?",
        "Why is docker pulling ubuntu:latest again?",
        "What does Date.now() return?",
        "Is datetime.now aware of the zone?",
        'Translate "what time is it today" into French',
        'Who sang "Yesterday"?',
        "How do I print tomorrow's date in bash?",
        "What is the date format of ISO 8601?",
        "How do exchange rates work?",
        "What is a floating exchange rate?",
        "Why does npm install react@latest fail?",
        "How do you say today in German?",
        "Translate the following into French: see you tomorrow",
        "Is fake news protected speech?",
        "How do meteorologists model weather?",
        "What is the temperature in a blast furnace?",
        "What is the temperature in the core of a star?",
        "How old are you?",
        "How old is the universe?",
        "Now that the war is over, who rules Gondor?",
        "What should one do now that the yeast is dead?",
        "Who was the president of France in 1970?",
        STORY,
    ],
)
def test_timeless(prompt: str) -> None:
    """Words that only look like the present, in physics, code, quotation marks, tasks and stories, do not count."""
    assert not is_time_dependent(canonicalise(prompt))


def test_clock_in_a_long_prompt() -> None:
    """What only ever means the moment of asking counts in a prompt of any length."""
    story = "I have been waiting for a very long train in a very small town with my very old dog. " * 4

    assert is_time_dependent(canonicalise(f"{story}What time is it?"))


@given(st.text(st.characters(exclude_characters="`\n\r", exclude_categories=["Cs"]), max_size=80))
def test_code(code: str) -> None:
    """Whatever stands in code, the question about it can be answered at any time."""
    assert not is_time_dependent(canonicalise(f"Explain `now today {code}` in detail"))


@pytest.mark.parametrize(
    "unit", ["a", "\u6f22", "a.", "a:B", "a@a", "a()", "a(", "'s ", "`", '"a', "latest ", "what is the "]
)
def test_hostile_prompts(unit: str) -> None:
    """A longest possible prompt made of one repeated piece is read in linear time: one word of 32,000 letters, too."""
    prompt = (unit * 32_000)[:31_986]

    assert is_time_dependent(f"{prompt} time is it now") != is_time_dependent(f"the word {prompt}")


def test_reasons() -> None:
    """Every group of phrases says why it is there, and no phrase is both counted and ignored."""
    groups = msgspec.toml.decode(freshness.PHRASES_FILE.read_bytes(), type=dict[str, list[Group]])
    every = [group for some in groups.values() for group in some]

    assert {"anywhere", "short", "timeless"} == set(groups)
    assert all(group.about.endswith(".") for group in every)
    assert not [phrase for group in every for phrase in group.ignored if phrase in group.fixed]
