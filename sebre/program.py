"""How a command ends: its exit code, its lines of results, one line for a user's mistake.

`sebre.cli` and `sebre.bench` run through `run_program`, modules that measure through `run_module`.
"""

import errno
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from mrcnn.errors import UserError

DONE, BUG, USER_ERROR, SOME_FAILED, STOPPED = 0, 1, 2, 3, 130  # exit codes

# Errors of the system that the user can mend, even where Python does not say at which file.
_OF_THE_SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE)


def say(text: str = "") -> None:
    """Print a line of results."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print a line about what went wrong."""
    print(text, file=sys.stderr, flush=True)


def run_program(name: str, action: Callable[[], int], debug: bool = False) -> int:
    """Run a command; a mistake of the user gives one line on the error stream.

    Args:
        name: what the line begins with, such as "sebre train".
        action: returns the exit code, which is returned.
        debug: show where the error was raised, too.

    Raises:
        Exception: a bug. Python shows its traceback and ends with code 1.
    """
    try:
        return action()
    except KeyboardInterrupt:
        complain(f"{name}: stopped.")
        return STOPPED
    except Exception as error:
        if not _can_be_mended(error):
            raise
        if debug:
            traceback.print_exc()
        complain(f"{name}: {_message(error)}")
        return USER_ERROR


def run_module(main: Callable[[], object]) -> NoReturn:
    """Run `python -m MODULE`, whose `main` reads the command line, and end the process.

    `main` may return the exit code; anything else is DONE.
    """
    spec = sys.modules["__main__"].__spec__

    def action() -> int:
        code = main()
        return code if isinstance(code, int) else DONE

    sys.exit(run_program(spec.name if spec else sys.argv[0], action))


def _can_be_mended(error: Exception) -> bool:
    if isinstance(error, UserError):
        return True
    # An OSError of the system itself has a number; one that our code raised by hand has none.
    return isinstance(error, OSError) and (
        error.errno in _OF_THE_SYSTEM or None not in (error.errno, error.filename)
    )


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    return " ".join(str(error).split())
