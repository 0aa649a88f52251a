"""The public estimators and the path function."""
