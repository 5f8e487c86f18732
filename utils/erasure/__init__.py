"""Step 3, ours: an attribute leaves the features in closed form and, by a short training, the weights."""
