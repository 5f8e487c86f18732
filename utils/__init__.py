"""The shared package; imports run one way through its folders (docs/HOUSE.md)."""
