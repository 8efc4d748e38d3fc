"""A function that cannot start."""

raise RuntimeError("no way to start")
