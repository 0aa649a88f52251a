"""Functions of all displays. Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._estimators.base import TwoLayerModel

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpecBase

# The colours of Okabe and Ito, which colour-blind people can tell apart, and grey for
# the background (convention).
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
GREY = "#999999"


def check_model(estimator: object) -> TwoLayerModel:
    """The estimator, if it is a fitted one of this package."""
    if not isinstance(estimator, TwoLayerModel):
        raise TypeError(
            "estimator must be a RegularizedTwoLayerRegressor or a "
            f"RegularizedTwoLayerRegressorCV, got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    return estimator


def panels(
    display: str,
    ax: Axes | None,
    n_rows: int,
    n_columns: int,
    size: tuple[float, float],
    **grid: Any,
) -> tuple[Figure | SubFigure, np.ndarray]:
    """A figure and new axes, of shape (n_rows, n_columns), in the place of ``ax``.

    Without ``ax`` the figure is a new one of ``size``. ``display`` is the name in the
    error message, ``grid`` are arguments of the grid of the axes.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{display}.plot needs matplotlib: python -m pip install matplotlib."
        ) from error
    figure: Figure | SubFigure
    spec: GridSpecBase
    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        spec = figure.add_gridspec(n_rows, n_columns, **grid)
    else:
        place = ax.get_subplotspec()
        if place is None:
            raise ValueError("ax must be part of a grid, as from plt.subplots.")
        figure = ax.figure
        ax.set_axis_off()
        spec = place.subgridspec(n_rows, n_columns, **grid)
    return figure, np.array(
        [
            [figure.add_subplot(spec[i, k]) for k in range(n_columns)]
            for i in range(n_rows)
        ]
    )


def styled(
    kind: type[Artist], defaults: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """The defaults, replaced by what was given.

    Names in ``given`` may be aliases of properties of the artist, such as "lw".
    """
    from matplotlib.cbook import normalize_kwargs

    return {**defaults, **normalize_kwargs(given, kind)}


def shortened(name: object, length: int = 18) -> str:
    """The name, cut so that it does not overlap its neighbours."""
    text = str(name)
    return text if len(text) <= length else text[: length - 1] + "…"
