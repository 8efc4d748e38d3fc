"""Folds the forms of an English word into one, well enough to compare two prompts with each other."""

from functools import lru_cache
from typing import Final

_KEPT: Final = frozenset(
    {"news", "series", "species", "gas", "lens", "always", "perhaps", "christmas", "texas", "kansas"}
)
_SIBILANT_PLURALS: Final = ("sses", "shes", "ches", "xes", "zzes")
_VOWELS: Final = frozenset("aeiouy")
_SHORT: Final = 3
"""Words up to this length keep their ending: gas, die, red."""
_IRREGULAR: Final = {
    form: base
    for base, forms in {
        "be": "been being", "begin": "began begun", "break": "broke broken", "bring": "brought", "build": "built",
        "buy": "bought", "catch": "caught", "child": "children", "choose": "chose chosen", "come": "came",
        "die": "died dying", "do": "did done", "draw": "drew drawn", "drink": "drank drunk", "drive": "drove driven",
        "eat": "ate eaten", "fall": "fell fallen", "feel": "felt", "fight": "fought", "find": "found",
        "fly": "flew flown", "foot": "feet", "forget": "forgot forgotten", "get": "got gotten", "give": "gave given",
        "go": "went gone", "grow": "grew grown", "have": "had", "hear": "heard", "hold": "held", "invade": "invasion",
        "keep": "kept", "know": "knew known", "lead": "led", "learn": "learnt", "leave": "left", "lie": "lying",
        "lose": "lost", "make": "made", "man": "men", "mean": "meant", "meet": "met", "mouse": "mice", "pay": "paid",
        "ride": "rode ridden", "rise": "rose risen", "run": "ran", "say": "said", "see": "saw seen",
        "sell": "sold", "send": "sent", "shoot": "shot", "sing": "sang sung", "sit": "sat", "sleep": "slept",
        "speak": "spoke spoken", "spend": "spent", "stand": "stood", "steal": "stole stolen", "swim": "swam swum",
        "take": "took taken", "teach": "taught", "tell": "told", "think": "thought", "throw": "threw thrown",
        "tooth": "teeth", "understand": "understood", "use": "using used", "wear": "wore worn", "win": "won",
        "wife": "wives", "life": "lives", "woman": "women", "write": "wrote written",
    }.items()
    for form in forms.split()
}  # fmt: skip


@lru_cache(maxsize=4096)
def singular(word: str) -> str:
    """Return a word without a plural -s; verbs in the third person lose theirs too."""
    if len(word) <= _SHORT or word in _KEPT or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > _SHORT + 1:
        return f"{word[:-3]}y"
    if word.endswith(_SIBILANT_PLURALS):
        return word[:-2]
    return word[:-1]


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Return what the forms of a verb or noun share: no plural, no -ed, no -ing, no final -e."""
    word = singular(_IRREGULAR.get(word, word))
    word = _IRREGULAR.get(word, word)
    for ending in ("ing", "ed", "ly"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= _SHORT and not _VOWELS.isdisjoint(root):
            word = root[:-1] if ending != "ly" and root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    if word.endswith("e") and len(word) > _SHORT:
        return word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > _SHORT else word
