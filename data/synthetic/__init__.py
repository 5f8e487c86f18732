"""The code that draws data sets, over which the scripts data/make_synthetic_*.py stand."""
