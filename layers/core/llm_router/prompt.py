"""The one canonical form of a prompt that the exact hash, the embedding and the length rules use.

The model always gets what the user wrote; the canonical form only decides which prompts are the same.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Literal

# Compatibility normalisation would turn 10² into 102, 1½ into 11/2, a double-struck R into R, ① into 1.
_MEANINGFUL_DECOMPOSITIONS = ("<super>", "<sub>", "<fraction>", "<font>", "<circle>")
_NUMBERED_FULL_STOPS = {chr(code) for code in range(0x2488, 0x249C)}
# These would become quotation marks on the way, and then another text would stand between them.
_QUOTE_VARIANTS = {0xFF02: '"', 0xFF40: "`", 0x1FEF: "`"}
# Code, and what stands in quotation marks, means what it says to the letter.
_VERBATIM = re.compile(r"""(```.*?(?:```|\Z)|`[^`\n]*`|"[^"\n]*")""", re.DOTALL)
# The look-behind keeps a long run of spaces from being tried from each of its spaces.
_BLANK_LINES = re.compile(r"(?<![^\S\n])[^\S\n]*\n(?:[^\S\n]*\n)*")
_REPEATED_SPACE = re.compile(r"(?<=\S)[^\S\n]+")
_MOST_MARKS = 30
"""In a row, as the Stream-Safe Text Format of UAX #15 has it; no language comes near."""


def canonicalise(text: str) -> str:
    """Return `text` in Unicode NFKC with one kind of line end and no outer or repeated white space.

    Code and quoted strings keep their white space and their characters (in NFC), and so does the indentation of the
    lines of a text that has several. More than 30 marks in a row stay as they are, since putting them in order takes
    time that grows with the square of their number. Applying it twice changes nothing more.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n").translate(_QUOTE_VARIANTS)
    normalised = _outside_and_inside(unified, _compatibility_form, partial(_normalise, "NFC"))
    squeezed = _outside_and_inside(normalised, _squeeze, str).rstrip().lstrip("\n")
    return squeezed if "\n" in squeezed else squeezed.lstrip()


def without_verbatim(canonical: str) -> str:
    """Return a canonical prompt without its code and quoted strings, each replaced by a blank."""
    return " ".join(_VERBATIM.split(canonical)[::2])


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def entry_id(canonical: str) -> str:
    """Return the key of the exact cache tier: the SHA-256 of a canonical prompt, in hex."""
    return sha256_hex(canonical.encode())


def _outside_and_inside(text: str, outside: Callable[[str], str], inside: Callable[[str], str]) -> str:
    """Treat what is verbatim one way and the rest another."""
    # re.split with one group puts the verbatim parts at the odd positions.
    parts = _VERBATIM.split(text)
    return "".join(inside(part) if index % 2 else outside(part) for index, part in enumerate(parts))


def _compatibility_form(text: str) -> str:
    if text.isascii():
        return text
    kept = {char for char in set(text) if _is_meaningful(char)}
    if not kept:
        return _normalise("NFKC", text)
    pieces = re.split("([" + re.escape("".join(sorted(kept))) + "])", text)
    return "".join(piece if piece in kept else _normalise("NFKC", piece) for piece in pieces)


def _normalise(form: Literal["NFC", "NFKC"], text: str) -> str:
    marks = "" if text.isascii() else "".join(filter(_is_mark, set(text)))
    if not marks:
        return unicodedata.normalize(form, text)
    parts = re.split(f"([{re.escape(marks)}]{{{_MOST_MARKS + 1},}})", text)
    return "".join(part if index % 2 else unicodedata.normalize(form, part) for index, part in enumerate(parts))


def _is_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) > 0


def _is_meaningful(char: str) -> bool:
    return unicodedata.decomposition(char).startswith(_MEANINGFUL_DECOMPOSITIONS) or char in _NUMBERED_FULL_STOPS


def _squeeze(text: str) -> str:
    return _REPEATED_SPACE.sub(" ", _BLANK_LINES.sub("\n", text))
