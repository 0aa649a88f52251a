"""Files that are written as a whole or not at all. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

# Bytes of a trial file: the block of most file systems (convention).
TRIAL_BYTES = 4096


@contextmanager
def replacement(path: Path) -> Iterator[BinaryIO]:
    """A new file, which replaces the one at ``path`` when the block has ended well.

    Readers see the old file or the new one, each complete. Every writer has a temporary
    file of its own, so that of several writers the last to end wins. If the block
    raises, or the disk is full, the old file stays and the temporary one is removed.
    """
    with _temporary(path) as temporary:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def check_writable(name: str, path: Path) -> None:
    """Raise the error of a :func:`replacement` of the file now, by a trial file."""
    try:
        with _temporary(path) as temporary, open(temporary, "xb") as file:
            file.write(bytes(TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise not_written(name, path, error) from error


def not_written(name: str, path: Path, error: OSError) -> OSError:
    """The error that names the parameter ``name`` whose file cannot be written."""
    message = (
        f"{name} cannot be written ({error.strerror or error}); give a path in a "
        "folder that can be written to and has space, got"
    )
    return OSError(error.errno or 0, message, str(path))


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that is nobody else's; nothing is left under it."""
    temporary = path.with_name(f"{path.name}.{token_hex(8)}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()
