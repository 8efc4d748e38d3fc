"""Tells who asked through a queue."""
