"""Display of masses, losses and held-out errors along the decays of a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sklearn_twolayer.inspection._drawing import (
    COLORS,
    GREY,
    panels,
    standard_error,
    styled,
)
from sklearn_twolayer.inspection._inputs import check_model
from sklearn_twolayer.inspection._size_panel import Sizes, draw_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What fitted attributes call the held-out errors of losses other than the squared one.
LOSS_LABELS = ("loss", "log_loss")


class TwoLayerPathDisplay:
    """Masses, loss, neurons and certificate along the decays of a path.

    Use :meth:`from_estimator`. The decay falls from left to right, as in the fit.

    Parameters
    ----------
    lambdas : ndarray of shape (n_stages,)
        Decays of the stages as fractions of ``lambda_max``.
    masses : ndarray of shape (n_stages, n_lines)
        Mass of each neuron at each stage; zero if the stage is without the neuron.
    losses : ndarray of shape (n_stages,)
        Half the mean squared residual, or the mean of another loss.
    certificates : ndarray of shape (n_stages,)
        Largest norm of the dual certificate, at most 1 at a global optimum.
    lambda_ : float
        Decay that was kept, as a fraction of ``lambda_max``.
    cv_lambdas : ndarray of shape (n_lambdas,), default=None
        Decays that cross-validation compared, as fractions of ``lambda_max``.
    mse_path : ndarray of shape (n_lambdas, n_folds), default=None
        Held-out errors of the network of each decay.
    blended_mse_path : ndarray of shape (n_lambdas, n_folds, n_shares), default=None
        Held-out errors of the means of this network and debiased ones. The share with
        the least error is drawn.
    debiased_mse : ndarray of shape (n_folds,), default=None
        Held-out errors of the debiased network.
    averaged_mse : ndarray of shape (n_folds,), default=None
        Held-out errors of the mean of debiased networks.
    sizes : Sizes, default=None
        Numbers of features of what cross-validation compares, and of the model kept:
        `path` of shape (n_lambdas, n_folds), `debiased` and `averaged` of shape
        (n_folds,), and `kept`. If given, a panel shows the error against them.
    kept : {"with decay", "mean of both", "debiased", "debiased, averaged"}, \
            default=None
        Which of these errors is that of the network kept. It is marked in the legend,
        and on a curve by a ring.
    error_name : str, default="squared error"
        What the held-out errors are.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure drawn on.
    axes_ : ndarray of matplotlib Axes
        One panel each for masses, loss, and neurons with the certificate, and, after
        cross-validation, for the held-out errors against the decay and against the
        number of features; for these two alone if the model kept is debiased, so that
        no path was followed on all rows.

    See Also
    --------
    RidgeFunctionDisplay : The ridge function of each feature.

    Examples
    --------
    >>> from sklearn_twolayer import GeometricSchedule, RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import TwoLayerPathDisplay
    >>> X, y = make_two_layer_regression(
    ...     200, 4, n_directions=2, noise=0.1, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(
    ...     schedule=GeometricSchedule(stop=0.1), solver="fast", random_state=0)
    >>> display = TwoLayerPathDisplay.from_estimator(model.fit(X, y))
    >>> display.masses.shape[0] == len(model.lambdas_)
    True
    """

    def __init__(
        self,
        *,
        lambdas: np.ndarray,
        masses: np.ndarray,
        losses: np.ndarray,
        certificates: np.ndarray,
        lambda_: float,
        cv_lambdas: np.ndarray | None = None,
        mse_path: np.ndarray | None = None,
        blended_mse_path: np.ndarray | None = None,
        debiased_mse: np.ndarray | None = None,
        averaged_mse: np.ndarray | None = None,
        sizes: Sizes | None = None,
        kept: str | None = None,
        error_name: str = "squared error",
    ) -> None:
        self.lambdas = lambdas
        self.masses = masses
        self.losses = losses
        self.certificates = certificates
        self.lambda_ = lambda_
        self.cv_lambdas = cv_lambdas
        self.mse_path = mse_path
        self.blended_mse_path = blended_mse_path
        self.debiased_mse = debiased_mse
        self.averaged_mse = averaged_mse
        self.sizes = sizes
        self.kept = kept
        self.error_name = error_name

    @classmethod
    def from_estimator(
        cls, estimator: object, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the path of a fitted estimator.

        Parameters
        ----------
        estimator : RegularizedTwoLayerRegressor, RegularizedTwoLayerClassifier or CV
            Fitted estimator, or a fitted pipeline that ends with one.
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        **kwargs : dict
            Passed to `plot` of the lines of the masses.

        Returns
        -------
        display : TwoLayerPathDisplay
            With the figure in `figure_` and the panels in `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, sklearn.exceptions.NotFittedError
            If the estimator is not one of this package, or not fitted.
        """
        estimator = check_model(estimator)
        history = estimator.history_
        largest = estimator.lambda_max_ if estimator.lambda_max_ > 0 else 1.0
        cross_validated = {}
        if hasattr(estimator, "mse_path_"):
            cross_validated = {
                "cv_lambdas": estimator.lambdas_ / largest,
                "mse_path": estimator.mse_path_,
                "blended_mse_path": estimator.blended_mse_path_,
                "debiased_mse": estimator.debiased_mse_,
                "averaged_mse": estimator.averaged_mse_,
                "sizes": Sizes.of(estimator),
                "kept": _kept_curve(estimator),
            }
        for label in [one for one in LOSS_LABELS if hasattr(estimator, f"{one}_path_")]:
            cross_validated = {
                "cv_lambdas": estimator.lambdas_ / largest,
                "mse_path": getattr(estimator, f"{label}_path_"),
                "blended_mse_path": getattr(estimator, f"blended_{label}_path_"),
                "debiased_mse": getattr(estimator, f"debiased_{label}_"),
                "kept": _kept_curve(estimator),
                "error_name": label.replace("_", " "),
            }
        display = cls(
            lambdas=history["lambda_"] / largest,
            masses=history["masses"],
            losses=history["loss"],
            certificates=history["certificate"],
            lambda_=estimator.lambda_ / largest,
            **cross_validated,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, figure or array of Axes, default=None
            Axes, or a figure or subfigure, whose place is divided among the panels, or
            as many axes as there are panels. None makes a new figure.
        **kwargs : dict
            Passed to `plot` of the lines of the masses.

        Returns
        -------
        display : TwoLayerPathDisplay
            Itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        is_validated = self.mse_path is not None and self.cv_lambdas is not None
        has_path = len(self.lambdas) > 1 or not is_validated
        has_sizes = is_validated and self.sizes is not None
        n_panels = 3 * has_path + is_validated + has_sizes
        height = 2.1 * n_panels if n_panels > 1 else 3.6
        self.figure_, self.axes_ = panels(
            "TwoLayerPathDisplay", ax, n_panels, 1, (6.4, height),
            gaps=(0.0, 0.7 if has_sizes else 0.15),
        )  # fmt: skip
        of_decays = self.axes_[: n_panels - has_sizes]
        if has_path:
            self._draw_masses(self.axes_[0], kwargs)
            self._draw_loss(self.axes_[1])
            self._draw_neurons(self.axes_[2])
        shown = np.concatenate([self.lambdas, [self.lambda_]])
        if self.mse_path is not None and self.cv_lambdas is not None:
            self._draw_errors(of_decays[-1], self.cv_lambdas)
            if self.sizes is not None:
                draw_sizes(
                    self.axes_[-1], self.sizes, self.mse_path,
                    _best_share(self.blended_mse_path), self.debiased_mse,
                    self.averaged_mse,
                )  # fmt: skip
            compared = np.isfinite(self.mse_path).all(axis=1)
            shown = np.concatenate([shown, self.cv_lambdas[compared]])
        shown = shown[shown > 0]
        # The decay of a debiased network is where its search began, not a choice.
        has_choice = self.kept in (None, "with decay", "mean of both")
        for panel in of_decays:
            if len(shown):
                _scale_decays(panel, shown.min(), shown.max())
                if has_choice:
                    place = max(self.lambda_, shown.min())
                    panel.axvline(place, color=GREY, ls=":", lw=1)
        for panel in self.axes_:
            panel.spines[["top", "right"]].set_visible(False)
        for panel in of_decays:
            if np.size(ax) == 1 and panel is not of_decays[-1]:  # one above the other
                panel.tick_params(axis="x", which="both", labelbottom=False)
            else:
                note = " (dotted: kept)" if has_choice else ""
                panel.set_xlabel(r"decay $\lambda / \lambda_{\max}$" + note)
        self.figure_.align_ylabels(list(self.axes_))
        return self

    def _draw_masses(self, panel: Axes, kwargs: dict[str, Any]) -> None:
        from matplotlib.lines import Line2D

        panel.set_ylabel("mass of\neach neuron")
        panel.set_ylim(0, 1.08 * max(self.masses.max(initial=0.0), 1e-300))
        last = self.masses[-1] if len(self.masses) else np.zeros(0)
        for rank, j in enumerate(np.argsort(-last)):
            style: dict[str, Any] = {
                "color": GREY, "linewidth": 0.6, "marker": ".", "zorder": 1
            }  # fmt: skip
            if rank < len(COLORS) and last[j] > 0:
                style |= {"color": COLORS[rank], "linewidth": 1.6, "zorder": 2}
            lives = self.masses[:, j] > 0
            # Lines also have the stage before a birth and the one after a death, at 0.
            near = lives | np.append(lives[1:], False) | np.insert(lives[:-1], 0, False)
            values = np.where(near, self.masses[:, j], np.nan)
            panel.plot(self.lambdas, values, **styled(Line2D, style, kwargs))

    def _draw_loss(self, panel: Axes) -> None:
        panel.set_ylabel("loss")
        panel.plot(self.lambdas, self.losses, color=COLORS[0], marker=".")
        if len(self.losses) and self.losses.min() > 0:
            panel.set_yscale("log")

    def _draw_neurons(self, panel: Axes) -> None:
        from matplotlib.ticker import AutoLocator

        n_neurons = np.count_nonzero(self.masses, axis=1)
        panel.set_ylabel("neurons", color=COLORS[0])
        panel.plot(self.lambdas, n_neurons, color=COLORS[0], marker=".")
        panel.set_ylim(bottom=0)
        locator = AutoLocator()
        locator.set_params(integer=True)
        panel.yaxis.set_major_locator(locator)
        beside = panel.twinx()
        beside.patch.set_visible(False)  # Of inset axes it would hide the panel.
        beside.set_ylabel("certificate", color=COLORS[1])
        beside.plot(
            self.lambdas, self.certificates, color=COLORS[1], marker="x", ls="--"
        )
        known = self.certificates[np.isfinite(self.certificates)]
        low, high = min(known, default=1.0), max(known, default=1.0)
        beside.set_ylim(min(0.9, low - 0.05), max(1.1, high + 0.05))
        beside.spines["top"].set_visible(False)

    def _draw_errors(self, panel: Axes, lambdas: np.ndarray) -> None:
        panel.set_ylabel(f"held-out\n{self.error_name}")
        curves = [
            ("with decay", self.mse_path, COLORS[0]),
            ("mean of both", _best_share(self.blended_mse_path), COLORS[2]),
        ]
        for label, path, color in curves:
            if path is None:
                continue
            compared = np.isfinite(path).all(axis=1)  # stages that all folds have run
            if not compared.any():
                continue
            values = path[compared]
            if label == self.kept:
                nearest = np.abs(lambdas[compared] - self.lambda_).argmin()
                panel.plot(
                    lambdas[compared][nearest], values[nearest].mean(), marker="o",
                    ms=10, mfc="none", mec="black", ls="",
                )  # fmt: skip
            panel.errorbar(
                lambdas[compared], values.mean(axis=1), standard_error(values),
                color=color, marker=".", lw=1.4, elinewidth=0.7, capsize=2,
                label=self._marked(label),
            )  # fmt: skip
        lines = [
            ("debiased", self.debiased_mse, "--"),
            ("debiased, averaged", self.averaged_mse, "-."),
        ]
        for label, errors, style in lines:
            if errors is not None and np.isfinite(errors).all():
                panel.axhline(
                    errors.mean(), color=COLORS[1], ls=style, label=self._marked(label)
                )
        panel.legend(frameon=False, fontsize="small", ncols=2, loc="best")

    def _marked(self, label: str) -> str:
        return f"{label} (kept)" if label == self.kept else label


def _kept_curve(estimator: Any) -> str:
    """The label of the errors of the network that cross-validation has kept."""
    if estimator.debiased_share_ < 1.0:
        return "mean of both" if estimator.debiased_share_ > 0.0 else "with decay"
    n_averaged = getattr(estimator, "n_averaged_", 1)  # of squares only
    return "debiased" if n_averaged == 1 else "debiased, averaged"


def _best_share(blended: np.ndarray | None) -> np.ndarray | None:
    """The errors along the path for the share whose least mean error is lowest."""
    if blended is None:
        return None
    means = blended.mean(axis=1)
    known = np.where(np.isnan(means), np.inf, means)
    return blended[:, :, known.min(axis=0).argmin()]


def _scale_decays(panel: Axes, low: float, high: float) -> None:
    """Make the horizontal axis logarithmic and falling, with few enough labels."""
    from matplotlib.ticker import LogLocator, NullFormatter

    panel.set_xscale("log")
    panel.set_xlim(1.15 * high, low / 1.15)
    panel.xaxis.set_minor_formatter(NullFormatter())
    if high < 30 * low:
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter("{x:g}")
