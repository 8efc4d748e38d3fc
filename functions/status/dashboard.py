"""The page of GET /dashboard in one piece: it loads nothing from elsewhere, and reads its figures from this API."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct

from status.guarding import guarding_headers

_OWN: Final = Path(__file__).with_name("page")
_STYLE: Final = re.compile(r'<link rel="stylesheet" href="(?P<name>[^"]+)">')
_SCRIPT: Final = re.compile(r'<script src="(?P<name>[^"]+)"></script>')


class Page(Struct, frozen=True):
    """The page, and what goes with it over HTTP."""

    html: str
    headers: Mapping[str, str]

    def answer(self, known_tags: str | None) -> tuple[int, str | None, dict[str, str]]:
        """Return status, body and headers for one who sends these tags in `If-None-Match`."""
        is_known = known_tags is not None and self.headers["ETag"] in known_tags
        return (304, None, dict(self.headers)) if is_known else (200, self.html, dict(self.headers))


@lru_cache
def page() -> Page:
    """Return the page with its style and its scripts inside."""
    html = (_OWN / "index.html").read_text(encoding="utf-8")
    html = _STYLE.sub(lambda found: f"<style>{_text(found['name'])}</style>", html)
    html = _SCRIPT.sub(lambda found: f"<script>{_text(found['name'])}</script>", html)
    # Weak: the compressed page has the same tag.
    headers = guarding_headers(html) | {
        "Cache-Control": "no-cache",
        "ETag": f'W/"{hashlib.sha256(html.encode()).hexdigest()[:32]}"',
        "Vary": "Accept-Encoding",
    }
    return Page(html, headers)


def _text(name: str) -> str:
    if name == "chart.js":
        # The layer keeps Chart.js where the package has it that carries it, beside its licence.
        folder = files("unfold") / "static" / "unfold" / "js" / "chart"
        licence, script = ((folder / each).read_text(encoding="utf-8") for each in ("LICENSE", name))
        return f"/*! Chart.js\n{licence}*/\n{script}"
    return (_OWN / name).read_text(encoding="utf-8")
