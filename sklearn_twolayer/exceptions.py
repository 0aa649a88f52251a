"""Warnings of the package."""

__all__ = ["NoFeaturesWarning"]


class NoFeaturesWarning(UserWarning):
    """A fitted model without features was asked for its projection on them."""
