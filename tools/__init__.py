"""Scripts beside the three: python -m tools.audit, tools.choose_strength, tools.export."""
