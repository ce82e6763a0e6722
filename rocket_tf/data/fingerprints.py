"""Fingerprints of files: names, sizes, and a checksum of their content.

Also checksums of arrays that can be joined.
"""

import contextlib
import dataclasses
import hashlib
import os
import zlib

import numpy as np

_READ_WHOLE = 2**28  # total size in bytes up to which all files are read
_FILES = 1000  # number of files that are read otherwise
_PLACES, _PLACE = 8, 4096
_PIECE = 2**20  # bytes read from the beginning, the middle and the end of a larger file

# Polynomials over two elements, modulo that of CRC-32: the highest bit is the coefficient of 1.
_CRC_32, _ONE, _X_TO_8 = 0xEDB88320, 1 << 31, 1 << 23


@dataclasses.dataclass(frozen=True)
class Checksum:
    """The CRC-32 of bytes, which can be joined with that of the bytes after them.

    Attributes:
        value: an integer.
        length: the number of bytes.

    Example:
        >>> joined = Checksum.of(b"rocket ") + Checksum.of(b"launching")
        >>> joined == Checksum.of(b"rocket launching"), joined.text
        (True, '6f0c7ed8')
    """

    value: int = 0
    length: int = 0

    @classmethod
    def of(cls, content):
        """The checksum of bytes, or of a contiguous buffer."""
        return cls(zlib.crc32(content), memoryview(content).nbytes)

    def __add__(self, other):
        # As zlib's crc32_combine does: bytes that follow multiply by x to the number of their bits.
        power, factor, left = _ONE, _X_TO_8, other.length
        while left:
            if left & 1:
                power = _product(power, factor)
            factor, left = _product(factor, factor), left >> 1
        return Checksum(_product(power, self.value) ^ other.value, self.length + other.length)

    @property
    def text(self):
        """Its value in eight hexadecimal digits."""
        return f"{self.value:08x}"


def of_files(files, names):
    """The fingerprint of files, independent of their location.

    Up to 256 MiB altogether, files are read completely. Otherwise, 1000 files are read, evenly
    spaced, and of files above 3 MiB only the first, the middle and the last MiB.

    Args:
        files: list of paths.
        names: their names in the fingerprint, such as paths that are relative to their folder.

    Returns:
        Dict with "files", a checksum of names and sizes, and "content", a checksum of what was
        read.
    """
    listed, sizes = hashlib.sha256(), []
    for file, name in zip(files, names, strict=True):
        try:
            size = os.stat(file).st_size
        except OSError:
            size = -1
        sizes.append(size)
        listed.update(os.fsencode(name) + b"\0%d\0" % size)
    chosen = range(len(files))
    if sum(sizes) > _READ_WHOLE and len(files) > _FILES:
        chosen = np.linspace(0, len(files) - 1, _FILES).astype(int)
    content = 0
    for index in chosen:
        content = _checksum(files[index], sizes[index], content)
    return {"files": listed.hexdigest()[:16], "content": f"{content:08x}"}


def of_places(file, size, start=0):
    """A checksum of 4 KiB at each of eight evenly spaced places in an open file.

    Args:
        file: seekable file.
        size: size of the file, in bytes.
        start: the checksum of what comes before.
    """
    for offset in np.linspace(0, max(size - _PLACE, 0), _PLACES, dtype=np.int64):
        file.seek(int(offset))
        start = zlib.crc32(file.read(_PLACE), start)
    return start


def _product(first, second):
    product = 0
    for bit in range(31, -1, -1):
        if first >> bit & 1:
            product ^= second
        second = second >> 1 ^ (_CRC_32 if second & 1 else 0)
    return product


def _checksum(path, size, start):
    if not os.path.isfile(path):
        return start
    pieces = [(0, size)] if size <= 3 * _PIECE else []
    pieces = pieces or [(offset, _PIECE) for offset in (0, (size - _PIECE) // 2, size - _PIECE)]
    with contextlib.suppress(OSError), open(path, "rb") as file:  # reported where the file is read
        for offset, length in pieces:
            file.seek(offset)
            start = zlib.crc32(file.read(length), start)
    return start
