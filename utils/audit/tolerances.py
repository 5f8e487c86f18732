"""What the verdict tolerates; tables and pictures show the same limits."""

GAP_TOLERANCE = 0.02  # AUC of an attack above the reference's
ALLOWED_LOSS = {"auc": 0.005, "accuracy": 0.005}  # of a kept head, fractions
