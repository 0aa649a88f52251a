"""Long names of columns in little room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def shortened(names: Sequence[object], length: int) -> list[str]:
    """The names in at most ``length`` characters, different where the names are.

    Of a long name the beginning is kept, or if others begin alike, beginning and end,
    or if that is not enough, the beginning and the number of the column.
    """
    texts = [str(name) for name in names]
    middle = (length - 1) // 2
    ways = [
        [text[: length - 1] + "…" for text in texts],
        [text[: length - 1 - middle] + "…" + text[-middle:] for text in texts],
        [text[: length - 1 - len(f"{j}")] + f"…{j}" for j, text in enumerate(texts)],
    ]
    short, is_long = texts, [len(text) > length for text in texts]
    changes = is_long
    for way in ways:
        short = [way[j] if changes[j] else name for j, name in enumerate(short)]
        count = Counter(short)
        changes = [is_long[j] and count[name] > 1 for j, name in enumerate(short)]
    return short


def terms_named(prefix: str, names: Sequence[str], n_features: int) -> np.ndarray:
    """Names of columns of which the last are features: the others are linear parts."""
    n_linear = len(names) - n_features
    linear = [f"{prefix}_linear{k}" for k in range(n_linear)]
    return np.array([*linear, *names[:n_features]], dtype=object)
