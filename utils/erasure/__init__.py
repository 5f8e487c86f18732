"""Step 3, ours: an attribute leaves the features in closed form, without training."""
