"""Chooses the form of an answer by the `Accept` header of its request (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence
from email.message import Message
from typing import Final

from llm_router.errors import NotAcceptableError

_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def choose(accept: str, offered: Sequence[str]) -> str:
    """Return the media type with the highest quality; of several the one offered first, and so without a header.

    Raises:
        NotAcceptableError: all of them have quality 0.
    """
    qualities = {media_type: _quality(media_type, accept or "*/*") for media_type in offered}
    best = max(offered, key=qualities.__getitem__)
    if not qualities[best]:
        raise NotAcceptableError(f"must allow {', '.join(offered)}", field="accept")
    return best


def _quality(media_type: str, accept: str) -> float:
    """Return the quality in the most specific range that the type is in, 0 when it is in none."""
    ranges = dict(map(_range, accept.split(",")))
    kind = media_type.partition("/")[0]
    return next((ranges[each] for each in (media_type, f"{kind}/*", "*/*") if each in ranges), 0.0)


def _range(text: str) -> tuple[str, float]:
    header = Message()
    header["Content-Type"] = text.strip()
    quality = str(header.get_param("q", "1"))
    return text.partition(";")[0].strip().lower(), float(quality) if _QUALITY.fullmatch(quality) else 0.0
