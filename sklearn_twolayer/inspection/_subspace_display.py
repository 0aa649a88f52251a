"""Display of targets against the first directions of the active subspace."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_twolayer._checks.data import check_targets, check_weights
from sklearn_twolayer._checks.parameters import check_integer
from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._rows.loadings import column_moments
from sklearn_twolayer.inspection._active_subspace import active_subspace
from sklearn_twolayer.inspection._drawing import (
    GREY,
    LETTER_INCHES,
    LONGEST_LABEL,
    draw_loadings,
    panels,
    styled,
)
from sklearn_twolayer.inspection._inputs import model_inputs
from sklearn_twolayer.inspection._ridge_functions import check_target
from sklearn_twolayer.inspection._stability_record import DirectionStability

# Directions drawn at most: a page shows no more than a plane.
DRAWN_DIRECTIONS = 2
# About the width of the colours and their labels (convention).
COLORBAR_INCHES = 1.0
# Error bars are as long as intervals of 95 % of a normal error.
NORMAL_REACH = 1.96


class ActiveSubspaceDisplay:
    """Sufficient-summary plots of the active subspace, and loadings of its directions.

    Use :meth:`from_estimator`. The first row shows the targets against the projection
    on the first direction, the second row, if there is a second direction, the
    projections on both with the targets as colours. If a function depends on its inputs
    by these directions only, the plots are sufficient: what they do not show is noise.
    Beside them are the largest entries of each direction.

    Parameters
    ----------
    projections : ndarray of shape (n_samples, n_directions)
        Standardised inputs, projected on the directions; at most two.
    targets : ndarray of shape (n_samples,)
        Targets.
    directions : ndarray of shape (n_directions, n_features_in)
        Directions, as they are drawn.
    shares : ndarray of shape (n_directions,)
        Their eigenvalues as fractions of the sum of all.
    feature_names : list of str
        Names of the inputs.
    target_name : str, default="y"
        Label of the targets.
    spread : ndarray of shape (n_directions, n_features_in), default=None
        Standard errors of the entries of the directions.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure drawn on.
    axes_ : ndarray of shape (n_directions, 2) of matplotlib Axes
        Summary plot and loadings of each direction.

    See Also
    --------
    active_subspace : The directions.
    direction_stability : How far they turn in refits.
    RidgeFunctionDisplay : The features of the network.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import ActiveSubspaceDisplay
    >>> X, y = make_two_layer_regression(
    ...     200, 4, n_directions=2, noise=0.1, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> display = ActiveSubspaceDisplay.from_estimator(model, X, y)
    >>> display.axes_.shape
    (2, 2)
    """

    def __init__(
        self,
        *,
        projections: np.ndarray,
        targets: np.ndarray,
        directions: np.ndarray,
        shares: np.ndarray,
        feature_names: list[str],
        target_name: str = "y",
        spread: np.ndarray | None = None,
    ) -> None:
        self.projections = projections
        self.targets = targets
        self.directions = directions
        self.shares = shares
        self.feature_names = feature_names
        self.target_name = target_name
        self.spread = spread

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: object,
        *,
        sample_weight: object = None,
        target: int | str = 0,
        stability: object = None,
        subsample: int = 1000,
        random_state: object = None,
        ax: Any = None,
        max_loadings: int = 8,
        scatter_kw: dict[str, Any] | None = None,
        bar_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the active subspace of a fitted estimator.

        Parameters
        ----------
        estimator : RegularizedTwoLayerRegressor or RegularizedTwoLayerRegressorCV
            Fitted estimator, or a fitted pipeline that ends with one. What is drawn are
            then directions of the inputs of its last step.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        target : int or str, default=0
            Which target to draw, if there are several, by number or name. The
            directions are those of all targets.
        stability : DirectionStability, default=None
            Result of :func:`direction_stability` for this estimator and `X`, for error
            bars: 1.96 times the root mean square change of each loading over refits.
        subsample : int, default=1000
            Most rows drawn.
        random_state : int, RandomState instance or None, default=None
            Chooses the rows drawn.
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        max_loadings : int, default=8
            Most loadings drawn for each direction, the largest.
        scatter_kw, bar_kw : dict, default=None
            Passed to `scatter` and `barh`.

        Returns
        -------
        display : ActiveSubspaceDisplay
            With the figure in `figure_` and the panels in `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError, sklearn.exceptions.NotFittedError
            If the estimator is not one of this package, is not fitted, or does not
            change with its inputs, or if a parameter or the data are not as documented.
        """
        model, inputs, names = model_inputs(estimator, X)
        values = check_targets(y, inputs.shape[0]).reshape(inputs.shape[0], -1)
        weights = check_weights(sample_weight, inputs.shape[0])
        n_outputs = model._fitted_network().n_outputs
        target, target_name = check_target(target, y, n_outputs)
        subsample = check_integer("subsample", subsample, min_val=1)
        subspace = active_subspace(estimator, X, sample_weight=weights)
        n_drawn = min(subspace.n_directions, DRAWN_DIRECTIONS)
        if n_drawn == 0:
            raise ValueError(
                "estimator has no direction to draw: the fitted function does not "
                "change with its inputs by more than noise would make it."
            )
        directions = subspace.directions[:n_drawn]
        spread = None if stability is None else _spread_of(stability, directions)
        rows = np.flatnonzero(weights > 0)
        if len(rows) > subsample:
            generator = check_random_state(random_state)
            rows = np.sort(generator.choice(rows, subsample, replace=False))
        inputs = sparse.csr_array(inputs) if sparse.issparse(inputs) else inputs
        scales = model._input_scales(inputs)
        assert scales is not None  # Those of X, if the fit has none.
        _, inputs = model._fitted_network().on_transformed(inputs)
        per_unit = directions / np.where(scales > 0, scales, np.inf)
        centres = column_moments(inputs, weights)[0]
        display = cls(
            projections=inputs[rows] @ per_unit.T - per_unit @ centres,
            targets=values[rows, target],
            directions=directions,
            shares=subspace.eigenvalues[:n_drawn] / subspace.eigenvalues.sum(),
            feature_names=names,
            target_name=target_name,
            spread=spread,
        )
        return display.plot(
            ax=ax, max_loadings=max_loadings, scatter_kw=scatter_kw, bar_kw=bar_kw
        )

    def plot(
        self,
        ax: Any = None,
        *,
        max_loadings: int = 8,
        scatter_kw: dict[str, Any] | None = None,
        bar_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        max_loadings : int, default=8
            Most loadings drawn for each direction, the largest.
        scatter_kw, bar_kw : dict, default=None
            Passed to `scatter` and `barh`.

        Returns
        -------
        display : ActiveSubspaceDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        max_loadings = check_integer("max_loadings", max_loadings, min_val=1)
        n_drawn, n_inputs = self.directions.shape
        n_bars = min(max_loadings, n_inputs)
        names = shortened(self.feature_names, LONGEST_LABEL)
        (label,) = shortened([self.target_name], LONGEST_LABEL)
        height = max(2.4, 0.5 + 0.22 * n_bars)
        self.figure_, axes = panels(
            "ActiveSubspaceDisplay", ax, 2 * n_drawn, 2, (7.0, height * n_drawn + 0.3),
            width_ratios=[3, 2],
            gaps=(COLORBAR_INCHES + LETTER_INCHES * max(map(len, names)), 0.9),
        )  # fmt: skip
        self.axes_ = axes.reshape(n_drawn, 2)
        self._draw_summaries(label, scatter_kw or {})
        interval = reach = None
        if self.spread is not None:
            errors = NORMAL_REACH * self.spread
            interval = np.stack([self.directions - errors, self.directions + errors])
            reach = float(np.abs(interval).max())
        for j, bars in enumerate(self.axes_[:, 1]):
            own = None if interval is None else interval[:, j]
            draw_loadings(
                bars, self.directions[j], own, names, n_bars, reach, bar_kw or {}
            )
            bars.set_title(f"direction {j + 1}", fontsize="medium")
        self.axes_[-1, 1].set_xlabel("loading (standardised)")
        return self

    def _draw_summaries(self, label: str, scatter: dict[str, Any]) -> None:
        from matplotlib.collections import PathCollection

        ways = [
            ("direction 1", label, self.targets, {"color": GREY, "alpha": 0.5}),
            ("direction 1", "direction 2", self.projections[:, -1], {}),
        ]
        for j, (below, beside, heights, style) in enumerate(ways[: len(self.axes_)]):
            panel = self.axes_[j, 0]
            defaults = {"s": 6, "linewidth": 0, **style}
            points = panel.scatter(
                self.projections[:, 0], heights, c=self.targets if j == 1 else None,
                **styled(PathCollection, defaults, scatter),
            )  # fmt: skip
            if j == 1:
                # Inset axes are beside their panel in whatever place the panel is.
                bar = panel.inset_axes((1.03, 0.0, 0.04, 1.0))
                panel.figure.colorbar(points, cax=bar, label=label)
            panel.set_xlabel(f"projection on {below}")
            panel.set_ylabel(beside if j == 0 else f"projection on {beside}")
            together = "" if j == 0 else "together "
            share = (
                f"{together}{self.shares[: j + 1].sum():.0%} of the squared gradient"
            )
            panel.set_title(share, fontsize="medium")
            panel.spines[["top", "right"]].set_visible(False)


def _spread_of(stability: object, directions: np.ndarray) -> np.ndarray:
    """How much refits change the directions, of a record with the same ones."""
    if not isinstance(stability, DirectionStability):
        raise TypeError(
            "stability must be the result of inspection.direction_stability, got "
            f"{type(stability).__name__}."
        )
    own = stability.subspace_directions[: len(directions)]
    if own.shape != directions.shape or not np.allclose(own, directions):
        raise ValueError(
            "stability must be that of this estimator and X, got one with other "
            "directions: call direction_stability with the same estimator, X and "
            "sample_weight."
        )
    return stability.subspace_spread[: len(directions)]
