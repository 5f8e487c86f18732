"""Step 3, as published: channels of the graph are set to zero."""
