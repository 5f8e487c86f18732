"""Scripts beside the three, one command each: python -m tools.NAME."""
