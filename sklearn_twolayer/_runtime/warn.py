"""Warnings that point at the line of the person who called."""

from __future__ import annotations

import inspect
import os
import warnings
from pathlib import Path

import sklearn

# Frames in these folders are not the caller's: this package, and scikit-learn, whose
# wrappers and pipelines call it.
OURS = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(__file__).parents[1], Path(sklearn.__file__).parent)
)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn with the file and line of the first caller outside ``OURS``."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
