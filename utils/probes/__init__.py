"""Attacks on frozen features: each looks for a forgotten attribute in what a network computes of an image."""
