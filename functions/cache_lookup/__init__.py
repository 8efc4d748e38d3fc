"""The semantic cache by itself."""
