"""Finds out who asks."""
