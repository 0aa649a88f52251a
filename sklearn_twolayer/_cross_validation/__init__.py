"""Errors on the folds, the choice of a network by them, its fit on all rows."""
