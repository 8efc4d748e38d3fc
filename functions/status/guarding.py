"""Headers of a page in one piece: its own scripts run, nothing else does, and nobody shows it inside of theirs."""

import base64
import hashlib
import re


def guarding_headers(html: str) -> dict[str, str]:
    """Return them; the policy knows the page's scripts and styles by their hashes, and lets it ask this API only."""
    hashes = {
        kind: " ".join(_hash(text) for text in re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL))
        for kind in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
