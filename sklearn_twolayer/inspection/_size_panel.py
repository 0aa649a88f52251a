"""Panel of the held-out error against the number of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_twolayer.inspection._drawing import COLORS, GREY, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to so many features the axis is linear, beyond it is logarithmic; and what is
# written at the axis (conventions).
LINEAR_UNTIL = 10
LABELS = (0, 2, 4, 6, 8, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, eq=False)
class Sizes:
    """Numbers of features of what cross-validation compares, and of the model kept.

    Parameters
    ----------
    path : ndarray of shape (n_lambdas, n_folds)
        Of the network of each decay, in each fold.
    debiased, averaged : ndarray of shape (n_folds,)
        Of the debiased network, and of the mean of debiased networks.
    kept : int
        Of the model kept.
    """

    path: np.ndarray
    debiased: np.ndarray
    averaged: np.ndarray
    kept: int

    @classmethod
    def of(cls, estimator: Any) -> Sizes | None:
        """Those of a fitted estimator; None without cross-validation."""
        if not hasattr(estimator, "averaged_n_features_"):
            return None
        return cls(
            estimator.n_features_path_,
            estimator.debiased_n_features_,
            estimator.averaged_n_features_,
            len(estimator.features_),
        )

    @property
    def of_mean(self) -> float:
        """Features of a mean over the folds: those of each, and of all rows."""
        return float(self.averaged.sum() + self.averaged.mean())


def draw_sizes(
    panel: Axes,
    sizes: Sizes,
    mse_path: np.ndarray,
    blended: np.ndarray | None,
    debiased_mse: np.ndarray | None,
    averaged_mse: np.ndarray | None,
) -> None:
    """Draw mean error, with its standard error over the folds, against mean size.

    ``blended`` are the errors of the drawn means with a network of the path.
    """
    on_path = sizes.path.mean(axis=1)
    drawn = [("with decay", on_path, mse_path, COLORS[0], ".-")]
    if blended is not None:
        drawn.append(
            ("mean of both", on_path + sizes.of_mean, blended, COLORS[2], ".-")
        )
    for label, size, errors, marker in (
        ("debiased", sizes.debiased.mean(), debiased_mse, "s"),
        ("debiased, averaged", sizes.of_mean, averaged_mse, "D"),
    ):
        if errors is not None:
            drawn.append(
                (label, np.array([size]), errors[np.newaxis], COLORS[1], marker)
            )
    for label, size, errors, color, form in drawn:
        known = np.isfinite(errors).all(axis=1) & np.isfinite(size)
        if known.any():
            panel.errorbar(
                size[known], errors[known].mean(axis=1), standard_error(errors[known]),
                color=color, fmt=form, lw=1.4, elinewidth=0.7, capsize=2, label=label,
            )  # fmt: skip
    panel.axvline(sizes.kept, color=GREY, ls=":", lw=1)
    panel.set_xscale("symlog", linthresh=LINEAR_UNTIL)
    right = panel.get_xlim()[1]
    panel.set_xticks([x for x in LABELS if x <= right], minor=False)
    panel.set_xticks([], minor=True)
    panel.set_xlim(-0.5, right)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("number of features (dotted: kept)")
    panel.set_ylabel("held-out\nsquared error")
    panel.legend(frameon=False, fontsize="small", ncols=2, loc="best")
