"""Networks on disk: checkpoints of these scripts and weights of one's own."""
