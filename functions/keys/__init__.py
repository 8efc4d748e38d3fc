"""Makes, lists, rotates and revokes API keys."""
