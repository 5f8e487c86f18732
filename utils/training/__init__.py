"""Step 1: settings, the loop over epochs, going on after a stop."""
