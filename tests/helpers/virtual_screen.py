"""A screen that nobody sees, for tests of windows."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from lacking import demand_package, demand_program

_SIZE = "1600x1000x24"


@contextmanager
def virtual_screen() -> Iterator[dict[str, str]]:
    """Xvfb while it is open; gives the environment of programs that draw on it.

    Without Xvfb or the packages of the plugin a test is skipped; where everything must run, it
    fails.
    """
    for package in ("napari", "PyQt6", "pytestqt"):
        demand_package(package, always=True)
    program = demand_program("Xvfb", always=True)
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", _SIZE, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as numbers:
            number = numbers.readline().strip()  # once it is ready
        assert number, f"Xvfb ended with exit code {server.wait()}"
        # Drawn by the processor, on whatever machine.
        drawing = {"LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb", "QT_API": "pyqt6"}
        yield {"DISPLAY": f":{number}", **drawing}
    finally:
        server.terminate()
        server.wait()
