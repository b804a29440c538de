"""Writing files whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from mrcnn.errors import UnavailableError


def replace_file(path: str | Path, write: Callable[[Path], object], suffix: str = ".part") -> None:
    """Call `write(temporary path)` beside `path`, then put the result in its place.

    On an OSError, which names `path`, the temporary file is removed and `path` untouched.
    """
    path = Path(path)
    part = path.with_name(path.name + suffix)
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
