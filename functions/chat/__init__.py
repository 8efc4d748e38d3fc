"""Answers prompts."""
