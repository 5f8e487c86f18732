"""Temporary."""

from utils.erasure.erasure import ErasureSettings


def choose_settings(strength, networks, data, task, folder, seed):
    """Temporary."""
    return ErasureSettings(strength=strength, seed=seed)
