"""What the displays share. Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._estimators.base import TwoLayerModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people can tell apart; the grey is for
# what is in the background.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
GREY = "#999999"


def check_model(estimator: object) -> TwoLayerModel:
    """A fitted two-layer estimator."""
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
    **grid: object,
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, of shape (n_rows, n_columns); within ``ax`` if given."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{display}.plot needs matplotlib: python -m pip install matplotlib."
        ) from error
    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        spec = figure.add_gridspec(n_rows, n_columns, **grid)
    else:
        figure = ax.figure
        ax.set_axis_off()
        spec = ax.get_subplotspec().subgridspec(n_rows, n_columns, **grid)
    return figure, np.array(
        [
            [figure.add_subplot(spec[i, k]) for k in range(n_columns)]
            for i in range(n_rows)
        ]
    )


def styled(kind: type, defaults: dict, given: dict) -> dict:
    """Defaults with what was given, whatever aliases of the artist's kind it uses."""
    from matplotlib.cbook import normalize_kwargs

    return {**defaults, **normalize_kwargs(given, kind)}


def shortened(name: object, length: int = 18) -> str:
    """A name that does not run over its neighbours."""
    text = str(name)
    return text if len(text) <= length else text[: length - 1] + "…"
