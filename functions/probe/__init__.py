"""Looks at the box once a minute."""
