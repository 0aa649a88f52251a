"""Errors on held-out rows, and when they have passed their minimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

# The path of a fold ends after STAGES_PAST_LEAST stages in a row without a new least
# error, if the last error exceeds the least by ERRORS_ABOVE_LEAST standard errors of
# their difference over the rows. Measured on the noisy problems and seven tables:
# without the second condition, the path of one fold of a table with gross outliers
# ended far too early; with one standard error paths are longer and the choice is the
# same.
STAGES_PAST_LEAST = 2
ERRORS_ABOVE_LEAST = 0.5
# The error of each row, of targets and predictions.
RowErrors = Callable[[np.ndarray, np.ndarray], np.ndarray]


def squared_errors(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The squared error of each row, averaged over targets."""
    errors: np.ndarray = np.square(y - predicted).reshape(len(y), -1).mean(axis=1)
    return errors


def log_losses(number: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The log loss of each row, of the number of its class and of scores."""
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros_like(scores), scores])
    of_class = scores[np.arange(len(number)), number]
    losses: np.ndarray = logsumexp(scores, axis=1) - of_class
    return losses


class HeldOut:
    """Errors on held-out rows along a path, and whether they have passed the minimum.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets of the held-out rows.
    weights : ndarray of shape (n_samples,)
        Their sample weights.
    loss : callable, default=squared_errors
        The error of each row, of targets and predictions.
    """

    def __init__(
        self, y: np.ndarray, weights: np.ndarray, loss: RowErrors = squared_errors
    ) -> None:
        self.y, self.weights, self.loss = y, weights, loss
        self.errors: list[float] = []
        # Errors of the rows of the first network, and at the least error.
        self._first: np.ndarray | None = None
        self._least: np.ndarray | None = None
        # Whether the last error is above the least by ERRORS_ABOVE_LEAST.
        self._is_clear = False

    def add(self, predicted: np.ndarray) -> float:
        """Append the mean error of the next network, and return it."""
        of_rows = self.loss(self.y, predicted)
        error = float(np.average(of_rows, weights=self.weights))
        if self._first is None:
            self._first = of_rows
        if self._least is None or error < min(self.errors):
            self._least, self._is_clear = of_rows, False
        else:
            rise, share = of_rows - self._least, self.weights / self.weights.sum()
            self._is_clear = share @ rise > ERRORS_ABOVE_LEAST * standard_error(
                rise, share
            )
        self.errors.append(error)
        return error

    def fall_squares(self, predicted: np.ndarray) -> float:
        """Sum of squares of weighted falls of the rows' errors from the first."""
        of_rows = self.loss(self.y, predicted)
        first = of_rows if self._first is None else self._first
        fall = self.weights * (first - of_rows)
        return float(fall @ fall)

    @property
    def is_past(self) -> bool:
        """Whether the least error was some stages ago and the last clearly higher."""
        since = len(self.errors) - 1 - int(np.argmin(self.errors))
        return since >= STAGES_PAST_LEAST and self._is_clear


def standard_error(values: np.ndarray, share: np.ndarray) -> float:
    """Standard error of the mean of independent values, with weights ``share``."""
    n_values = len(values)
    if n_values < 2:
        return 0.0
    variance = share @ np.square(values - share @ values) * n_values / (n_values - 1)
    return float(np.sqrt(variance * (share @ share)))
