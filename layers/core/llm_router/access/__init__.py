"""Who may ask, what, and how much: keys, callers, limits."""
