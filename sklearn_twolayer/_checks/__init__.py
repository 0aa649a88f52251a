"""Validation of parameters and data."""
