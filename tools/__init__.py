"""Scripts beside the three: python -m tools.audit, choose_strength, compare, export, report, shrink."""
