"""The command line. `sebre` calls `main`."""

from sebre.cli.commands import main

__all__ = ["main"]
