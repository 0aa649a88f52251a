"""Functions of all displays. Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure, SubFigure

# The colours of Okabe and Ito, which colour-blind people can tell apart, and grey for
# the background (convention).
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
GREY = "#999999"


def panels(
    display: str,
    ax: Any,
    n_panels: int,
    n_columns: int,
    size: tuple[float, float],
    gaps: tuple[float, float],
    **grid: Any,
) -> tuple[Figure | SubFigure, np.ndarray]:
    """A figure, and axes for the panels, row by row, in the place of ``ax``.

    Without ``ax`` the figure is a new one of ``size``. ``gaps`` are the distances of
    columns and rows, in inches, for figures without a layout engine, which would find
    them. ``display`` is the name in error messages, ``grid`` are arguments of the grid
    of the axes.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure, SubFigure
        from matplotlib.gridspec import GridSpec
    except ImportError as error:
        raise ImportError(
            f"{display}.plot needs matplotlib: python -m pip install matplotlib."
        ) from error
    given = np.ravel(np.array(ax, dtype=object)).tolist()
    if len(given) == n_panels > 1 and all(isinstance(one, Axes) for one in given):
        return given[0].figure, np.array(given, dtype=object)
    place = given[0] if len(given) == 1 else ax
    n_rows = -(-n_panels // n_columns)
    cells = [divmod(k, n_columns) for k in range(n_panels)]
    if place is None:
        place = plt.figure(figsize=size, layout="constrained")
    if isinstance(place, (Figure, SubFigure)):
        spec = place.add_gridspec(n_rows, n_columns, **grid)
        return place, np.array([place.add_subplot(spec[cell]) for cell in cells])
    if not isinstance(place, Axes):
        raise ValueError(
            f"ax of {display} must be one Matplotlib Axes, a figure or subfigure, or "
            f"an array of {n_panels} Axes, one for each panel, got {_described(ax)}."
        )
    place.set_axis_off()
    figure, cell_of_grid = place.figure, place.get_subplotspec()
    if cell_of_grid is None or figure.get_layout_engine() is None:
        box = place.get_window_extent()
        grid["wspace"] = _relative_gap(gaps[0] * figure.dpi, box.width, n_columns)
        grid["hspace"] = _relative_gap(gaps[1] * figure.dpi, box.height, n_rows)
    if cell_of_grid is not None:
        part = cell_of_grid.subgridspec(n_rows, n_columns, **grid)
        return figure, np.array([figure.add_subplot(part[cell]) for cell in cells])
    # Axes that are not in a grid are divided as a grid of the whole figure would be.
    whole = GridSpec(n_rows, n_columns, left=0, right=1, bottom=0, top=1, **grid)
    low, high, left, right = whole.get_grid_positions(figure.figure)
    return figure, np.array(
        [
            place.inset_axes((left[k], low[i], right[k] - left[k], high[i] - low[i]))
            for i, k in cells
        ]
    )


def _relative_gap(gap: float, length: float, n_parts: int) -> float:
    """The gap between the parts of a length as a fraction of the parts.

    No more than half of the length is left to gaps.
    """
    left = max(length - gap * (n_parts - 1), length / 2)
    return min(gap, length / 2 / max(1, n_parts - 1)) * n_parts / left


def _described(ax: object) -> str:
    if isinstance(ax, (list, tuple, np.ndarray)):
        kinds = sorted({type(one).__name__ for one in np.ravel(ax).tolist()})
        return f"{np.size(ax)} of {' and '.join(kinds)}"
    return type(ax).__name__


def styled(
    kind: type[Artist], defaults: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """The defaults, replaced by what was given.

    Names in ``given`` may be aliases of properties of the artist, such as "lw".
    """
    from matplotlib.cbook import normalize_kwargs

    return {**defaults, **normalize_kwargs(given, kind)}


def standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the folds, which are the columns."""
    n_folds = values.shape[1]
    if n_folds < 2:
        return np.zeros(len(values))
    errors: np.ndarray = values.std(axis=1, ddof=1) / np.sqrt(n_folds)
    return errors
