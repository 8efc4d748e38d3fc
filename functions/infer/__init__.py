"""Runs queued jobs on the box."""
