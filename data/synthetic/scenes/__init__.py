"""Scenes: which kinds, where, on what ground; their boxes and VOC's files."""
