"""One HTML file that says what was forgotten, what it cost, where in the network, and whether to believe it."""
