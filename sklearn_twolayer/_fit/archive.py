"""Arrays in archives of ``numpy.savez``, read without trust in the file.

NumPy reads any archive. It allocates what a header asks for before it reads the array,
unpacks what is compressed, and evaluates headers as Python literals. A damaged or a
crafted file could so take all memory. Here the members must be those that are expected,
stored without compression, and as long as their headers say: memory and time stay in
proportion to the size of the file.
"""

from __future__ import annotations

import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Version 1.0 of the format of NumPy's files, as NumPy writes it: plain numbers or text.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][fiubU]\d{1,9})', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,18}(?:, \d{1,18})*,?)?)\), \} *\n",
    re.DOTALL,
)
# What the standard library raises for archives that are damaged.
DAMAGED = (
    EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_arrays(path: Path, forms: Mapping[str, tuple[str, int]]) -> dict:
    """The arrays of an archive; ``forms`` has their kinds and numbers of dimensions.

    Raises ``FileNotFoundError`` if there is no file, and ``ValueError`` if it is not
    such an archive.
    """
    try:
        # A named pipe without a writer would be waited for.
        with open(path, "rb", opener=_without_waiting) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError("it is not a regular file")
            with zipfile.ZipFile(file) as archive:
                contents = _contents(archive, set(forms), facts.st_size)
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(f"{error or type(error).__name__}") from error
    return {name: _array(name, contents[name], *forms[name]) for name in forms}


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _contents(archive: zipfile.ZipFile, names: set[str], size: int) -> dict[str, bytes]:
    """The bytes of the members, whose checksums are right."""
    members = {
        member.filename.removesuffix(".npy"): member for member in archive.filelist
    }
    if len(archive.filelist) != len(names) or set(members) != names:
        other = sorted(set(members) ^ names)[:3] or "some twice"
        raise ValueError(f"its members are not those of a checkpoint: {other}")
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members.values())
        or sum(member.file_size for member in members.values()) > size
    ):
        raise ValueError("its members are compressed, or larger than the file")
    return {name: archive.read(member) for name, member in members.items()}


def _array(name: str, content: bytes, kind: str, n_dimensions: int) -> np.ndarray:
    header = HEADER.match(content)
    if header is None:
        raise ValueError(f"its array {name} has no header that NumPy writes")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(length) for length in header[2].split(b",") if length.strip())
    if dtype.kind != kind or len(shape) != n_dimensions or dtype.itemsize == 0:
        raise ValueError(f"its array {name} has the wrong type or shape")
    if math.prod(shape) * dtype.itemsize != len(content) - header.end():
        raise ValueError(f"its array {name} is shorter or longer than its header says")
    return np.frombuffer(content, dtype, offset=header.end()).reshape(shape)
