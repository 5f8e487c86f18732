"""Faces from 40 labels."""
