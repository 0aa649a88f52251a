"""Warnings of the package."""

__all__ = [
    "NoFeaturesWarning",
    "SeparableWarning",
    "UncentredWarning",
    "WarmStartWarning",
]


class NoFeaturesWarning(UserWarning):
    """A fitted model without features was asked for its projection on them."""


class SeparableWarning(UserWarning):
    """A linear function separates classes, so that its coefficients were shrunk."""


class UncentredWarning(UserWarning):
    """Columns are so far from zero that neurons without biases see them as constant."""


class WarmStartWarning(UserWarning):
    """A fit with `warm_start` began anew, because the earlier network was of no use."""
