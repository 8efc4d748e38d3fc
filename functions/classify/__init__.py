"""Grades a prompt without answering it."""
