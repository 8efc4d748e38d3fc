"""The page of GET /dashboard in one piece: it loads nothing from elsewhere, and reads its figures from this API."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct

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
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _policy(html),
        "ETag": f'W/"{hashlib.sha256(html.encode()).hexdigest()[:32]}"',
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    return Page(html, headers)


def _text(name: str) -> str:
    if name == "chart.js":
        # The layer keeps Chart.js where the package has it that carries it, beside its licence.
        folder = files("unfold") / "static" / "unfold" / "js" / "chart"
        licence, script = ((folder / each).read_text(encoding="utf-8") for each in ("LICENSE", name))
        return f"/*! Chart.js\n{licence}*/\n{script}"
    return (_OWN / name).read_text(encoding="utf-8")


def _policy(html: str) -> str:
    """Return a policy that runs the page's own scripts and styles, which it knows by their hashes, and no others."""
    hashes = {
        kind: " ".join(_hash(text) for text in re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL))
        for kind in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
