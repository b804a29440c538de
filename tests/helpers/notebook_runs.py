"""Runs notebooks from their sources as notebooks/build.py does, without a network."""

import importlib.util
import json
from types import ModuleType
from typing import Any

from paths import ROOT

NOTEBOOKS = ROOT / "notebooks"
EXPERIMENTS = ("extended_mouse", "hippocampus", "ibsr", "p14_mouse")
NAMES = sorted((*EXPERIMENTS, "any_section", "areas", "compare", "neurites", "own_data", "weights"))

# Runs in the kernel before the first cell.
OFFLINE = """
def _go_offline():
    import socket

    def refuse(host):
        if host not in (None, "", "localhost", "127.0.0.1", "::1"):
            raise OSError(f"a notebook may not use the network: {host}")

    def guarded(connect):
        def connect_here(self, address):
            if self.family != socket.AF_UNIX:
                refuse(address[0])
            return connect(self, address)
        return connect_here

    look_up = socket.getaddrinfo

    def look_up_here(host, *args, **kwargs):
        refuse(host)
        return look_up(host, *args, **kwargs)

    socket.socket.connect = guarded(socket.socket.connect)
    socket.socket.connect_ex = guarded(socket.socket.connect_ex)
    socket.getaddrinfo = look_up_here

_go_offline()
del _go_offline
"""


def load_build() -> ModuleType:
    """notebooks/build.py as a module."""
    spec = importlib.util.spec_from_file_location("notebook_build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(chosen: tuple[str, ...] | None = None) -> list[str]:
    """Of the notebooks that are there: those chosen, or all but the experiments."""
    there = [path.stem for path in load_build().sources(NOTEBOOKS)]
    if chosen is None:
        return [name for name in there if name not in EXPERIMENTS]
    return [name for name in there if name in chosen]


def run(name: str, expression: str = "None", line: str = "", instead: str = "") -> Any:
    """Run a notebook, and demand that it leaves the repository alone.

    Args:
        name: of the notebook.
        expression: over the notebook's names.
        line: of a cell, that a reader changes.
        instead: what it is changed to.

    Returns:
        The value of the expression, by way of JSON.
    """
    build = load_build()
    path = NOTEBOOKS / f"{name}.py"
    notebook = build.read_source(path)
    if line:
        cell = next(cell for cell in notebook.cells if line in cell.source)
        cell.source = cell.source.replace(line, instead)
    last = {"cell_type": "code", "source": f"import json\nprint(json.dumps({expression}))"}
    last |= {"metadata": {}, "outputs": [], "execution_count": None}
    notebook.cells.append(build.nbformat.from_dict(last))
    before = _files()
    build.execute(notebook, path, OFFLINE)
    after = _files()
    assert [n for n in sorted(before | after) if before.get(n) != after.get(n)] == []
    return json.loads(notebook.cells[-1].outputs[0].text)


def _files() -> dict[str, tuple[int, int]]:
    """Size and time of every file that a notebook might touch, but not of what others make."""
    passed_over = ("__pycache__", "demo", ".ipynb_checkpoints")
    return {
        path.relative_to(ROOT).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in ("datasets", "notebooks", "results", "weights")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not set(path.parts) & set(passed_over)
    }
