"""All attacks on all networks put together, and the verdict."""
