"""Display of the ridge function, partial residuals and loadings of each feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_twolayer._checks.parameters import check_integer, check_option
from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._export.summary import RECURRING, checked_recurrence
from sklearn_twolayer.inspection._direction_errors import direction_errors
from sklearn_twolayer.inspection._drawing import (
    COLORS,
    GREY,
    LETTER_INCHES,
    LONGEST_LABEL,
    draw_loadings,
    panels,
    styled,
)
from sklearn_twolayer.inspection._error_record import shown_loadings
from sklearn_twolayer.inspection._inputs import (
    model_inputs,
    model_targets,
    target_names,
)
from sklearn_twolayer.inspection._ridge_functions import (
    RidgeFunctions,
    check_features,
    check_target,
    drawn_ranges,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class RidgeFunctionDisplay:
    """Partial residuals, ridge function and loadings of each feature.

    Use :meth:`from_estimator`. For each feature, by decreasing mass, the left panel
    shows a function of the projection ``p`` on its direction, ``offset + slope p +
    amplitude relu(p)``, and for each row its value plus the residual. Its bend is that
    of the feature; its best straight line is that of the predictions, because networks
    divide straight lines arbitrarily between features and linear part. So the function
    rises where predictions rise along the direction. The right panel shows the largest
    entries of the direction. Predictions of a classifier are its scores, and residuals
    those of its working targets.

    Parameters
    ----------
    projections : ndarray of shape (n_samples, n_features_out)
        Projections on the directions; the functions bend at zero. Of
            transformed columns, if the estimator has a transform.
    partial_residuals : ndarray of shape (n_samples, n_features_out)
        Residual plus the function of the feature.
    amplitudes : ndarray of shape (n_features_out,)
        Change of the slope of each function at its bend.
    features : ndarray of shape (n_features_out, n_features_in)
        Directions, as they are drawn.
    feature_names : list of str
        Names of the inputs.
    feature_indices : list of int
        Rows of these features in `features_` of the estimator.
    loading_errors : ndarray of shape (2, n_features_out, n_features_in), default=None
        Confidence interval of each entry of the directions.
    slopes, offsets : ndarray of shape (n_features_out,), default=None
        Slope left of the bend, and value at it; zero if None.
    target_name : str, default="y"
        Label of the vertical axes.
    loadings : {"standardized", "raw"}, default="standardized"
        Whether directions are those of inputs divided by their standard deviations.
    n_features : int, default=None
        Number of features of the estimator, if not all are drawn.
    ranges : ndarray of shape (2, n_features_out), default=None
        Least and largest projection of the rows of the fit. Where rows are drawn that
        are outside, the range is shaded.
    recurrence : ndarray of shape (n_features_out,), default=None
        Share of refits in which each feature recurs.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure drawn on.
    axes_ : ndarray of shape (n_features_out, 2) of matplotlib Axes
        Ridge function and loadings of each feature.

    See Also
    --------
    TwoLayerPathDisplay : Masses of the features along the decays.
    direction_errors : Standard errors of the directions.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import RidgeFunctionDisplay
    >>> X, y = make_two_layer_regression(
    ...     200, 4, n_directions=2, noise=0.1, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> display = RidgeFunctionDisplay.from_estimator(model, X, y)
    >>> display.axes_.shape
    (2, 2)
    """

    def __init__(
        self,
        *,
        projections: np.ndarray,
        partial_residuals: np.ndarray,
        amplitudes: np.ndarray,
        features: np.ndarray,
        feature_names: list[str],
        feature_indices: list[int],
        loading_errors: np.ndarray | None = None,
        slopes: np.ndarray | None = None,
        offsets: np.ndarray | None = None,
        target_name: str = "y",
        loadings: str = "standardized",
        n_features: int | None = None,
        ranges: np.ndarray | None = None,
        recurrence: np.ndarray | None = None,
    ) -> None:
        self.projections = projections
        self.partial_residuals = partial_residuals
        self.amplitudes = amplitudes
        self.features = features
        self.feature_names = feature_names
        self.feature_indices = feature_indices
        self.loading_errors = loading_errors
        self.slopes = slopes
        self.offsets = offsets
        self.target_name = target_name
        self.loadings = loadings
        self.n_features = n_features
        self.ranges = ranges
        self.recurrence = recurrence

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: object,
        *,
        sample_weight: object = None,
        groups: object = None,
        features: ArrayLike | None = None,
        target: int | str = 0,
        confidence: float | None = None,
        loadings: str = "standardized",
        stability: object = None,
        subsample: int = 1000,
        random_state: object = None,
        ax: Any = None,
        max_loadings: int = 8,
        scatter_kw: dict[str, Any] | None = None,
        line_kw: dict[str, Any] | None = None,
        bar_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the features of a fitted estimator.

        Parameters
        ----------
        estimator : RegularizedTwoLayerRegressor, RegularizedTwoLayerClassifier or CV
            Fitted estimator, or a fitted pipeline that ends with one. What is drawn are
            then directions of the inputs of its last step.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, for the straight lines and the error bars.
        groups : array-like of shape (n_samples,), default=None
            Labels of rows that are not independent, for the error bars.
        features : list of int, default=None
            Which features to draw, by their row in `features_`; the first twelve if
            None.
        target : int or str, default=0
            Which target to draw, if there are several, by number or name; of a
            classifier of more than two classes, the number of the class.
        confidence : float, default=None
            If given, loadings have confidence intervals, by
            :func:`direction_errors`.
        loadings : {"standardized", "raw"}, default="standardized"
            Whether directions are those of inputs divided by their standard deviations,
            whose entries can be compared, or those of `features_`, in the units of `X`.
        stability : DirectionStability, default=None
            Result of :func:`direction_stability`: titles say in what share of refits
            features recur. Lines of those in fewer than half are dashed.
        subsample : int, default=1000
            Most rows drawn.
        random_state : int, RandomState instance or None, default=None
            Chooses the rows drawn.
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        max_loadings : int, default=8
            Most loadings drawn for each feature, the largest.
        scatter_kw, line_kw, bar_kw : dict, default=None
            Passed to `scatter`, `plot` and `barh`.

        Returns
        -------
        display : RidgeFunctionDisplay
            With the figure in `figure_` and the panels in `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError, sklearn.exceptions.NotFittedError
            If the estimator is not one of this package, is not fitted or has no
            features, or if a parameter or the data are not as documented.
        """
        model, checked, names = model_inputs(estimator, X)
        network = model._fitted_network()
        targets, weights = model_targets(model, checked, y, sample_weight)
        chosen = check_features(features, network.n_features)
        target, target_name = check_target(
            target, y, network.n_outputs, target_names(model)
        )
        kind = check_option("loadings", loadings, ["standardized", "raw"])
        subsample = check_integer("subsample", subsample, min_val=1)
        recurrence = errors = None
        if stability is not None:
            recurrence = checked_recurrence(stability, network.n_features)[chosen]
        if confidence is not None:
            found = direction_errors(
                estimator, X, y, sample_weight=sample_weight, groups=groups,
                confidence=confidence,
            )  # fmt: skip
            errors = shown_loadings(found, kind)[2][:, chosen]
        rows = np.flatnonzero(weights > 0)
        if len(rows) > subsample:
            generator = check_random_state(random_state)
            rows = np.sort(generator.choice(rows, subsample, replace=False))
        checked = sparse.csr_array(checked) if sparse.issparse(checked) else checked
        scales = model._input_scales(checked) if kind == "standardized" else None
        if scales is None:
            scales = np.ones(checked.shape[1])
        network, checked = network.on_transformed(checked)
        ridge = RidgeFunctions.of(network, chosen, target, scales, checked, weights)
        residual = targets[rows] - network.predict(checked[rows])
        residual = residual.reshape(len(rows), -1)[:, [target]]
        projections = network.project(checked[rows])[:, chosen] / ridge.multiples
        display = cls(
            projections=projections,
            partial_residuals=ridge(projections) + residual,
            amplitudes=ridge.amplitudes,
            features=ridge.loadings,
            feature_names=names,
            feature_indices=chosen,
            loading_errors=errors,
            slopes=ridge.slopes,
            offsets=ridge.offsets,
            target_name=target_name,
            loadings=kind,
            n_features=network.n_features,
            ranges=drawn_ranges(model, chosen, ridge.multiples),
            recurrence=recurrence,
        )
        return display.plot(
            ax=ax, max_loadings=max_loadings, scatter_kw=scatter_kw, line_kw=line_kw,
            bar_kw=bar_kw,
        )  # fmt: skip

    def plot(
        self,
        ax: Any = None,
        *,
        max_loadings: int = 8,
        scatter_kw: dict[str, Any] | None = None,
        line_kw: dict[str, Any] | None = None,
        bar_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        max_loadings : int, default=8
            Most loadings drawn for each feature, the largest.
        scatter_kw, line_kw, bar_kw : dict, default=None
            Passed to `scatter`, `plot` and `barh`.

        Returns
        -------
        display : RidgeFunctionDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        max_loadings = check_integer("max_loadings", max_loadings, min_val=1)
        n_features = len(self.feature_indices)
        n_pairs = 1 if n_features <= 4 else 2 if n_features <= 12 else 3
        n_rows = -(-n_features // n_pairs)
        n_bars = min(max_loadings, self.features.shape[1])
        height = max(2.0, 0.45 + 0.22 * n_bars)
        names = shortened(self.feature_names, LONGEST_LABEL)
        (label,) = shortened([self.target_name], LONGEST_LABEL)
        self.figure_, axes = panels(
            "RidgeFunctionDisplay", ax, 2 * n_features, 2 * n_pairs,
            (6.4 * n_pairs, height * n_rows + 0.3), width_ratios=[3, 2] * n_pairs,
            gaps=(0.3 + LETTER_INCHES * max(map(len, names)), 0.5),
        )  # fmt: skip
        self.axes_ = axes.reshape(n_features, 2)
        kind = "standardised" if self.loadings == "standardized" else "raw"
        for j, (ridge, bars) in enumerate(self.axes_):
            self._draw_ridge(ridge, j, scatter_kw or {}, line_kw or {})
            errors = self.loading_errors
            own = None if errors is None else errors[:, j]
            reach = None if errors is None else float(np.abs(errors).max())
            draw_loadings(
                bars, self.features[j], own, names, n_bars, reach, bar_kw or {}
            )
            below = j + n_pairs >= n_features
            ridge.set_xlabel("projection" if below else "")
            bars.set_xlabel(f"loading ({kind})" if below else "")
            ridge.set_ylabel(label if j % n_pairs == 0 else "")
        limits = [panel.get_ylim() for panel in self.axes_[:, 0]]
        for panel in self.axes_[:, 0]:
            panel.set_ylim(min(low for low, _ in limits), max(top for _, top in limits))
        return self

    def _draw_ridge(
        self, panel: Axes, j: int, scatter: dict[str, Any], line: dict[str, Any]
    ) -> None:
        from matplotlib.collections import PathCollection
        from matplotlib.lines import Line2D

        projection = self.projections[:, j]
        if self.ranges is not None:
            low, high = self.ranges[:, j]
            if projection.min() < low or projection.max() > high:
                panel.axvspan(low, high, color=GREY, alpha=0.2, linewidth=0, zorder=0)
        panel.scatter(
            projection, self.partial_residuals[:, j],
            **styled(
                PathCollection,
                {"s": 5, "color": GREY, "alpha": 0.5, "linewidth": 0},
                scatter,
            ),
        )  # fmt: skip
        grid = np.linspace(projection.min(), projection.max(), 201)
        grid = np.sort(np.append(grid, 0.0)) if grid[0] < 0 < grid[-1] else grid
        share = None if self.recurrence is None else self.recurrence[j]
        style: dict[str, Any] = {"color": COLORS[0], "linewidth": 2}
        style["linestyle"] = "--" if share is not None and share < RECURRING else "-"
        style = styled(Line2D, style, line)
        values = self.amplitudes[j] * np.maximum(grid, 0.0)
        if self.slopes is not None:
            values += self.slopes[j] * grid
        if self.offsets is not None:
            values += self.offsets[j]
        panel.plot(grid, values, **style)
        total = self.n_features or 0
        of_all = f" of {total}" if total > len(self.feature_indices) else ""
        recurs = "" if share is None else f", recurs in {share:.0%}"
        title = f"feature {self.feature_indices[j]}{of_all}{recurs}"
        panel.set_title(title, fontsize="medium")
        panel.spines[["top", "right"]].set_visible(False)
