"""What is left of a forgotten attribute: features, attacks on them, and the verdict."""
