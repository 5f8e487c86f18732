"""Attacks that run or change a network, and the registry of all attacks."""
