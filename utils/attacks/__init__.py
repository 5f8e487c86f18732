"""Attacks that run or change a network to find a forgotten attribute in it."""
