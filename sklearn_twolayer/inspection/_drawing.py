"""Functions of all displays. Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The colours of Okabe and Ito, which colour-blind people can tell apart, and grey for
# the background (convention).
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
GREY = "#999999"
# Most characters of a name beside its bar, so that it stays clear of the next panel
# (convention).
LONGEST_LABEL = 18
# Intervals of loadings are cut off here: those that go beyond say nothing (convention).
LONGEST_REACH = 1.5
# About the width of a letter of these names, in inches (convention).
LETTER_INCHES = 0.07


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


def draw_loadings(
    panel: Axes,
    direction: np.ndarray,
    interval: np.ndarray | None,
    names: list[str],
    n_bars: int,
    reach: float | None,
    bar: dict[str, Any],
) -> None:
    """Bars for the largest entries of a unit direction, the largest on top.

    ``interval`` holds lower and upper ends for each entry, ``reach`` the largest
    absolute value of all that are drawn side by side, which their axis has to show.
    """
    from matplotlib.patches import Rectangle

    largest = np.argsort(-np.abs(direction), kind="stable")[:n_bars][::-1]
    values, errors = direction[largest], None
    if interval is not None:
        low, high = interval[:, largest]
        errors = np.stack([values - low, high - values])
    colors = [COLORS[0] if value > 0 else COLORS[1] for value in values]
    defaults = {"color": colors, "error_kw": {"elinewidth": 1, "capsize": 2}}
    panel.barh(
        np.arange(n_bars), values, xerr=errors, **styled(Rectangle, defaults, bar)
    )
    panel.axvline(0.0, color="black", lw=0.8)
    labels = [names[i] for i in largest]
    panel.set_yticks(np.arange(n_bars), labels, fontsize="small")
    limit = max(1.1, min(1.05 * (reach or 0.0), LONGEST_REACH))  # of unit directions
    panel.set_xlim(-limit, limit)
    panel.spines[["top", "right"]].set_visible(False)
