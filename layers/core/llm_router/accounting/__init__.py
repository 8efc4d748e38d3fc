"""Counts what was used and what it cost: records, rollups, prices, latencies."""
