"""Folds, the choice among their networks, the refit on all rows."""
