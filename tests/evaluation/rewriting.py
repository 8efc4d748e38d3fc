"""Makes training pairs out of real prompts: rewordings that keep the answer, and small edits that change it."""

import random
from collections.abc import Callable, Sequence

from llm_router.verification.wordlists import lexicon

Rewrite = Callable[[str, random.Random], str | None]
"""Returns the edited prompt, or None when the edit does not fit."""

_METHOD = (
    "How do I", "How can I", "How to", "How do you", "What is the best way to", "What's the best way to",
    "How should I", "What are some ways to", "What should I do to", "What is a good way to", "How can one",
    "What are the best ways to", "How could I", "What is the easiest way to", "Tips to", "What can I do to",
    "What are some good ways to", "How does one", "How can we", "How would you", "What are the ways to",
    "What are the steps to",
)  # fmt: skip
_THING = (
    "What is the", "What are the", "What are some of the", "Which is the", "What would be the", "Which are the",
    "What are some", "What is a", "Tell me the", "What was the", "Give me the", "What's your", "Can you suggest the",
)  # fmt: skip
_DEFINE = (
    "What is {}?", "What's {}?", "What does {} mean?", "Define {}", "Explain {}", "What is the meaning of {}?",
    "What do you mean by {}?", "What exactly is {}?", "Explain the concept of {}", "What is meant by {}?",
    "What are {}?",
)  # fmt: skip
_FILLERS = ("really", "actually", "exactly", "usually", "currently", "generally", "still", "even", "always", "ever")
_TAILS = (
    "these days", "in general", "in your opinion", "nowadays", "in simple terms", "in detail", "and why",
    "that you know of",
    "in the world", "as a beginner", "from scratch", "properly", "step by step", "effectively",
    "in real life", "of all time",
)  # fmt: skip
_GENERIC = (
    "good",
    "best",
    "different",
    "common",
    "main",
    "basic",
    "new",
    "important",
    "real",
    "simple",
    "popular",
    "various",
)
_QUALIFIERS = (
    "online", "naturally", "for free", "at home", "in school", "for kids", "for women", "for students", "with water",
    "at work", "on a phone", "in winter", "with salt", "on YouTube", "for dogs", "during pregnancy", "in the army",
    "in small towns", "for weddings", "under the sea", "for cooking fish", "after surgery", "at night", "by hand",
)  # fmt: skip
_SECOND = (
    "How does it work?", "Who made it?", "How much does it cost?", "What do they do?", "What is it used for?",
    "Where can I buy it?", "Why does it matter?", "When did it start?",
)  # fmt: skip


def _frame(prompt: str, openings: Sequence[str], chance: random.Random) -> str | None:
    for opening in sorted(openings, key=len, reverse=True):
        if prompt.lower().startswith(f"{opening.lower()} "):
            return f"{chance.choice([other for other in openings if other != opening])}{prompt[len(opening) :]}"
    return None


def method_frame(prompt: str, chance: random.Random) -> str | None:
    """How do I ... to What is the best way to ..."""
    return _frame(prompt, _METHOD, chance)


def thing_frame(prompt: str, chance: random.Random) -> str | None:
    """What is the ... to What are some of the ..."""
    return _frame(prompt, _THING, chance)


def definition_frame(prompt: str, chance: random.Random) -> str | None:
    """What is X to What does X mean; only short questions."""
    for opening in ("what is ", "what are ", "what's ", "define ", "explain "):
        if prompt.lower().startswith(opening) and len(prompt.split()) <= 5:
            return chance.choice(_DEFINE).format(prompt[len(opening) :].rstrip("?. "))
    return None


def filler(prompt: str, chance: random.Random) -> str | None:
    """Put an adverb without weight between two words."""
    words = prompt.split()
    if len(words) < 4:
        return None
    words.insert(chance.randrange(2, len(words)), chance.choice(_FILLERS))
    return " ".join(words)


def tail(prompt: str, chance: random.Random) -> str | None:
    """End on a phrase without weight."""
    return f"{prompt.rstrip('?. ')} {chance.choice(_TAILS)}?"


def generic(prompt: str, chance: random.Random) -> str | None:
    """Put an adjective of little meaning before a word of much."""
    return _insert_before_content(prompt, chance.choice(_GENERIC), chance)


def pronouns(prompt: str, chance: random.Random) -> str | None:
    """Speak of you, we or one instead of I."""
    swaps = {
        "i": ("you", "we", "one"),
        "you": ("I", "we"),
        "my": ("your", "our", "the"),
        "your": ("my", "the"),
        "the": ("a", ""),
    }
    words = prompt.split()
    places = [place for place, word in enumerate(words) if word.lower() in swaps]
    if not places:
        return None
    place = chance.choice(places)
    words[place] = chance.choice(swaps[words[place].lower()])
    return " ".join(" ".join(words).split())


def front(prompt: str, chance: random.Random) -> str | None:
    """Move a closing "in ..." to the front."""
    del chance
    body = prompt.rstrip("?. ")
    for preposition in (" in ", " for ", " with ", " on ", " using "):
        head, found, rest = body.rpartition(preposition)
        if found and len(rest.split()) <= 3 and len(head.split()) >= 3:
            return f"{preposition.strip().capitalize()} {rest}, {head[0].lower()}{head[1:]}?"
    return None


def genitive(prompt: str, chance: random.Random) -> str | None:
    """Say "the sun lifespan" for "the lifespan of the sun", or the other way round."""
    words = prompt.rstrip("?. ").split()
    places = [
        place for place in range(1, len(words) - 1) if words[place].lower() == "of" and words[place - 1].isalpha()
    ]
    if places:
        place = chance.choice(places)
        stop = place + 1 + (words[place + 1].lower() in {"the", "a", "an"})
        if stop < len(words):
            return " ".join([*words[: place - 1], words[stop], words[place - 1], *words[stop + 1 :]]) + "?"
    light = lexicon().light
    if len(words) >= 4 and not {words[-1].lower(), words[-2].lower()} & light:
        return " ".join([*words[:-2], words[-1], chance.choice(("of", "for", "in")), words[-2]]) + "?"
    return None


def synonym(prompt: str, chance: random.Random) -> str | None:
    """Replace a word by another of its group."""
    places = [place for place, word in enumerate(prompt.split()) if word.lower() in _SYNONYMS]
    if not places:
        return None
    words = prompt.split()
    place = chance.choice(places)
    words[place] = chance.choice(_SYNONYMS[words[place].lower()])
    return " ".join(words)


def restatement(prompt: str, chance: random.Random) -> str | None:
    """Say in a second sentence that the answer is wanted."""
    tails = (
        "I want to know more about this.",
        "I am curious about it.",
        "Any suggestions?",
        "I can't find it anywhere.",
        "How?",
    )
    return f"{prompt} {chance.choice(tails)}"


def qualifier(prompt: str, chance: random.Random) -> str | None:
    """Narrow the question down."""
    return f"{prompt.rstrip('?. ')} {chance.choice(_QUALIFIERS)}?"


def second_question(prompt: str, chance: random.Random) -> str | None:
    """Ask for something more."""
    return (
        f"{prompt.rstrip('?. ')}? {chance.choice(_SECOND)}"
        if chance.random() < 0.5
        else (f"{prompt.rstrip('?. ')} and {chance.choice(_SECOND).lower()}")
    )


def exchange(prompt: str, chance: random.Random) -> str | None:
    """Let two words of meaning change places."""
    words = prompt.split()
    places = _content_places(words)
    if len(places) < 3:
        return None
    first, second = sorted(chance.sample(places, 2))
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def other_kind(prompt: str, chance: random.Random) -> str | None:
    """Ask why instead of how, whether instead of what."""
    first, _, rest = prompt.partition(" ")
    others = {"how": ("Why", ""), "why": ("How", ""), "what": ("Why",), "who": ("Why",)}
    if first.lower() not in others or not rest:
        return None
    return f"{chance.choice(others[first.lower()])} {rest}".strip()


def without_word(prompt: str, chance: random.Random) -> str | None:
    """Leave a word of meaning out."""
    words = prompt.split()
    places = _content_places(words)
    if len(places) < 3:
        return None
    del words[chance.choice(places)]
    return " ".join(words)


def substitution(vocabulary: Sequence[str]) -> Rewrite:
    """Return an edit that puts another word in place of one."""

    def rewrite(prompt: str, chance: random.Random) -> str | None:
        words = prompt.split()
        places = _content_places(words)
        if len(places) < 2:
            return None
        words[chance.choice(places)] = chance.choice(vocabulary)
        return " ".join(words)

    return rewrite


def addition(vocabulary: Sequence[str]) -> Rewrite:
    """Return an edit that puts a word of meaning before another."""

    def rewrite(prompt: str, chance: random.Random) -> str | None:
        return _insert_before_content(prompt, chance.choice(vocabulary), chance)

    return rewrite


FRAMES: tuple[Rewrite, ...] = (method_frame, thing_frame, definition_frame)
"""Other openings of the same question."""
KEEP: tuple[Rewrite, ...] = (*FRAMES, filler, tail, generic, pronouns, front, genitive, synonym, restatement)
"""Edits after which the same answer will do."""
CHANGE: tuple[Rewrite, ...] = (qualifier, second_question, exchange, other_kind, without_word)


def _content_places(words: Sequence[str]) -> list[int]:
    light = lexicon().light
    return [place for place, word in enumerate(words) if place and word.isalpha() and word.lower() not in light]


def _insert_before_content(prompt: str, word: str, chance: random.Random) -> str | None:
    words = prompt.split()
    places = _content_places(words)
    if not places:
        return None
    words.insert(chance.choice(places), word)
    return " ".join(words)


def _plain_synonyms() -> dict[str, list[str]]:
    """Return, for each word of a pair that may stand for each other in any prompt, the other ones."""
    groups = (
        "start begin", "buy purchase", "improve increase", "movie film", "picture photo", "job career", "company firm",
        "important significant", "advantages benefits", "quick fast", "easy simple", "hard difficult", "big large",
        "make create", "learn study", "get obtain", "fix repair", "stop prevent", "remove delete", "cost price",
        "show display", "explain describe", "happen occur", "choose select", "use utilize", "find locate",
        "people humans", "kids children", "earn make", "examples instances", "smart intelligent", "rich wealthy",
        "effects impact", "tips advice", "ways methods", "causes reasons", "mobile phone", "website site",
    )  # fmt: skip
    return {word: [other for other in group.split() if other != word] for group in groups for word in group.split()}


_SYNONYMS = _plain_synonyms()
