"""Exact figures, once more from the records."""
