"""Reports over the rollups."""
