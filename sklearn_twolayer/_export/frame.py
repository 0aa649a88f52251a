"""Tables for pandas, which is imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def frame_of(columns: Mapping[str, object]) -> pd.DataFrame:
    """The columns as a table."""
    try:
        import pandas as pd
    except ImportError as missing:
        raise ImportError(
            "to_frame needs pandas: python -m pip install pandas."
        ) from missing
    return pd.DataFrame(columns)
