"""Writing files whole or not at all; checksums."""

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrcnn.errors import UnavailableError


def arrays_sha256(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays in a row, in hexadecimal."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_of(path: str | Path, suffix: str = "") -> Path:
    """A new name beside a path, for what takes its place when it is complete.

    It is hidden and like no other, so that nothing that is there is in the way.
    """
    return Path(path).with_name(f".{uuid.uuid4().hex}.part{suffix}")


def replace_file(path: str | Path, write: Callable[[Path], object], suffix: str = "") -> None:
    """Call `write(temporary path)` beside `path`, then put the result in its place.

    The temporary name ends with `suffix`. On an OSError, which names `path`, the temporary file is
    removed and `path` untouched.
    """
    path = Path(path)
    part = part_of(path, suffix)
    try:
        write(part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise UnavailableError(
            f"{path}: could not be written ({error}). The folder must exist and be writable, "
            "with enough free space; nothing was changed."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def replace_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8, line ends as given) as `replace_file` does."""
    replace_file(path, lambda part: part.write_text(text, encoding="utf-8", newline=""))
