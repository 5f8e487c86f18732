"""Scenes of objects with boxes."""
