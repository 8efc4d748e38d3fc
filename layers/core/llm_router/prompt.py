"""The one canonical form of a prompt that the exact hash, the embedding and the length rules use.

The model always gets what the user wrote; the canonical form only decides which prompts are the same.
"""

import hashlib
import re
import unicodedata

# Compatibility normalisation would turn 10² into 102 and 1½ into 11/2: another question. These stay as they are.
_MEANINGFUL_DECOMPOSITIONS = ("<super>", "<sub>", "<fraction>")
_CODE_BLOCK = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_BLANK_LINES = re.compile(r"[^\S\n]*\n(?:[^\S\n]*\n)*")
_REPEATED_SPACE = re.compile(r"(?<=\S)[^\S\n]+")


def canonicalise(text: str) -> str:
    """Return `text` in Unicode NFKC with one kind of line end and no outer or repeated white space.

    Inside fenced code blocks white space is left alone, and so is the indentation of a line, which may be code.
    Applying it twice changes nothing more.
    """
    unified = _normalise_unicode(text).replace("\r\n", "\n").replace("\r", "\n")
    parts = _CODE_BLOCK.split(unified)
    # re.split with one group puts the code blocks at the odd positions.
    parts[::2] = [_squeeze(part) for part in parts[::2]]
    return "".join(parts).strip()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def entry_id(canonical: str) -> str:
    """Return the key of the exact cache tier: the SHA-256 of a canonical prompt, in hex."""
    return sha256_hex(canonical.encode())


def _normalise_unicode(text: str) -> str:
    if text.isascii():
        return text
    kept = {char for char in set(text) if unicodedata.decomposition(char).startswith(_MEANINGFUL_DECOMPOSITIONS)}
    if not kept:
        return unicodedata.normalize("NFKC", text)
    pieces = re.split("([" + re.escape("".join(sorted(kept))) + "])", text)
    return "".join(piece if piece in kept else unicodedata.normalize("NFKC", piece) for piece in pieces)


def _squeeze(text: str) -> str:
    return _REPEATED_SPACE.sub(" ", _BLANK_LINES.sub("\n", text))
