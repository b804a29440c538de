"""Errors that the user can mend, raised throughout both packages and told apart by the commands.

Each is one clear line: what was got, what was wanted, what to do, which path. Any other
exception that reaches a command is a bug and shows its traceback.
"""


class UserError(ValueError):
    """What the user gave cannot be used: a wrong value, a damaged file, a wrong setting."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that the user named is not there."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """An optional package that this needs is not installed."""


class DivergedError(UserError, FloatingPointError):
    """A loss that is not finite: the settings of a training do not work."""


class UnavailableError(UserError, OSError):
    """A disk, a network or a cluster does not do what is asked of it."""
