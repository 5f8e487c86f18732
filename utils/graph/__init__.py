"""Step 2: scores of channels and connections, essential sets, balance, the essential graph."""
