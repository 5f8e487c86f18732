"""Where data sets are made and prepared."""
