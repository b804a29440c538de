"""Readers that log what is wrong with a file, without its name, and then raise it as well."""

import contextlib
import logging
from collections.abc import Iterator

NIBABEL, TIFFFILE = "nibabel.global", "tifffile"


@contextlib.contextmanager
def without_log(logger: str) -> Iterator[None]:
    """Let a logger write nothing; also a decorator.

    Args:
        logger: its name.
    """
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
