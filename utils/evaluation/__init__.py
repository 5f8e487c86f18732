"""Figures of a network's heads on the images of a split, with intervals."""
