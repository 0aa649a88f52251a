"""Losses other than the squared one, as weighted least-squares problems in turn."""
