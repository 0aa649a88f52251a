"""One fit: from raw rows to stages and reports."""
