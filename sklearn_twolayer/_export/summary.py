"""A fitted network in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._rows.loadings import same_lines, standardised_loadings
from sklearn_twolayer._rows.units import FittedNetwork

# Most loadings of a line, and most characters of a name, so that lines fit a screen
# (convention).
LARGEST_LOADINGS = 4
LONGEST_NAME = 24
# Most features that are told, those of largest mass (convention).
MOST_FEATURES = 30
# Features whose directions are no further apart, in radians, are shown together
# (convention: what refits on other rows of real tables tell apart is rarely less).
NEARLY_SAME = 0.2
# Features that recur in a smaller share of refits are marked (convention).
RECURRING = 0.5


def shares_of_covariance(
    network: FittedNetwork, X: np.ndarray | sparse.csr_array
) -> np.ndarray:
    """Shares of the linear part and of each feature in the predictions.

    The predictions are the sum of the bends of the features and of a linear part. The
    bend of a feature is what it adds less the best straight line of that along its own
    direction: networks divide such lines arbitrarily between features and linear part
    (theory eq. 5), so that all of them count for the linear part. The share of a part
    is the absolute value of its covariance with the predictions, added up over targets,
    as a fraction of the sum of all of these.
    """
    network, X = network.on_transformed(X)
    prediction = network.predict(X).reshape(X.shape[0], network.n_outputs)
    prediction = prediction - prediction.mean(axis=0)
    amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
    projections = network.project(X)
    bends = np.maximum(projections, 0.0)
    projections, bends = (
        projections - projections.mean(axis=0),
        bends - bends.mean(axis=0),
    )
    squares = np.sum(projections**2, axis=0)
    slopes = np.sum(projections * bends, axis=0) / np.where(squares > 0, squares, 1.0)
    bends -= slopes * projections
    products = np.sum((bends.T @ prediction) * amplitudes, axis=1)
    linear = np.sum(prediction * (prediction - bends @ amplitudes))
    parts = np.abs(np.insert(products, 0, linear))
    return parts / (parts.sum() or 1.0)


def summarized(
    title: str,
    network: FittedNetwork,
    names: Sequence[object],
    facts: dict[str, str],
    shares: np.ndarray | None,
    scales: np.ndarray | None,
    recurrence: np.ndarray | None,
) -> str:
    """Text with lines about the fit, then one line for each of the first features.

    ``scales`` are the standard deviations of the inputs, by which loadings are
    multiplied; None leaves them in the units of the inputs. ``recurrence`` is the share
    of refits that have each feature.
    """
    if shares is not None:
        facts = {**facts, "linear part": f"a share of {shares[0]:.1%}"}
    width = max(map(len, facts))
    lines = [title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
    if network.n_features == 0:
        return "\n".join([*lines, "", "No features: the fitted model is linear."])
    share = "" if shares is None else f"{'share':>8}"
    kind = (
        "raw, in the units of the inputs" if scales is None else "standardised inputs"
    )
    recurs = [""] * network.n_features
    header = f"{'feature':>7}{'amplitude':>11}{share}"
    if recurrence is not None:
        recurs = [f"{text:>9}" for text in marked_recurrence(recurrence)]
        header += f"{'recurs':>8} "
    lines += ["", f"{header}  largest loadings ({kind})"]
    short = shortened(names, LONGEST_NAME)
    unit = np.ones(network.features.shape[1]) if scales is None else scales
    loadings, lengths = standardised_loadings(network.features, unit)
    first = same_lines(loadings, NEARLY_SAME)
    amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
    sizes = np.linalg.norm(amplitudes, axis=1) * np.abs(lengths)
    # Features of one line follow the first of them, marked.
    for j in np.argsort(first[:MOST_FEATURES], kind="stable"):
        label = f"{j}" if first[j] == j else f"~{j}"
        share = "" if shares is None else f"{shares[j + 1]:8.1%}"
        begin = f"{label:>7}{sizes[j]:11.4g}{share}{recurs[j]}"
        lines.append(f"{begin}  {_largest(loadings[j], short)}")
    notes = more_features(network.n_features)
    first = first[:MOST_FEATURES]
    if len(np.unique(first)) < len(first):
        notes.append(f"~ within {NEARLY_SAME} rad of the last feature without a mark")
    if recurrence is not None and recurrence[:MOST_FEATURES].min() < RECURRING:
        notes.append(f"? in fewer than {RECURRING:.0%} of refits")
    return "\n".join([*lines, *([""] if notes else []), *notes])


def more_features(n_features: int) -> list[str]:
    """A line about the features that are not told, if there are any."""
    n_more = n_features - MOST_FEATURES
    return [f"{n_more} more features, of smaller mass"] if n_more > 0 else []


def marked_recurrence(shares: np.ndarray) -> list[str]:
    """The shares of refits in words, rare ones with a mark."""
    return [f"{share:.0%}{'?' if share < RECURRING else ' '}" for share in shares]


def checked_recurrence(stability: object, n_features: int) -> np.ndarray:
    """How often each feature recurs, of a record of as many features."""
    recurrence = getattr(stability, "recurrence", None)
    if not isinstance(recurrence, np.ndarray):
        raise TypeError(
            "stability must be the result of inspection.direction_stability, got "
            f"{type(stability).__name__}."
        )
    if len(recurrence) != n_features:
        raise ValueError(
            f"stability must be that of this estimator, which has {n_features} "
            f"features, got one of {len(recurrence)}; call direction_stability with it."
        )
    return recurrence


def _largest(loadings: np.ndarray, names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(loadings), kind="stable")[:LARGEST_LOADINGS]
    return "  ".join(f"{names[i]} {loadings[i]:+.3f}" for i in order)
