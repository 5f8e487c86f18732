"""Shared rooms of the three scripts, one concern each."""
