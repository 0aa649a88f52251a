"""Losses other than the squared one, as sequences of weighted least-squares problems."""
