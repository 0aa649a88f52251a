"""Warnings of the package."""

__all__ = ["NoFeaturesWarning", "UncentredWarning", "WarmStartWarning"]


class NoFeaturesWarning(UserWarning):
    """A fitted model without features was asked for its projection on them."""


class UncentredWarning(UserWarning):
    """Columns are so far from zero that neurons without biases see them as constant."""


class WarmStartWarning(UserWarning):
    """A fit with `warm_start` began anew, because the earlier network was of no use."""
