"""Errors that the user can mend, raised throughout both packages and told apart by the commands.

Each is one clear line: what was got, what was wanted, what to do, which path. Any other
exception that reaches a command is a bug and shows its traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class UserError(ValueError):
    """What the user gave cannot be used: a wrong value, a damaged file, a wrong setting."""


class MissingFileError(FileNotFoundError, UserError):
    """A file or folder that the user named is not there."""


# The built-in class comes first: its constructor keeps the name of the package or file.
class MissingPackageError(ModuleNotFoundError, UserError):
    """An optional package that this needs is not installed."""


class DivergedError(UserError, FloatingPointError):
    """A loss that is not finite: the settings of a training do not work."""


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C while a network trained; the message names the checkpoint that it can go on from."""


class UnavailableError(OSError, UserError):
    """A disk, a network or a cluster does not do what is asked of it."""


@contextmanager
def reading(
    path: Any, what: str = "this picture", cure: str = "Replace the file."
) -> Iterator[None]:
    """Makes one `UserError` of whatever a decoder raises because of a damaged file.

    Args:
        path: of the file.
        what: is read from it.
        cure: what to do.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: cannot read {what} ({type(error).__name__}: {error}). {cure}"
        ) from error
