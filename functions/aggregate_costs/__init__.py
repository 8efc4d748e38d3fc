"""Folds usage records into rollups."""
