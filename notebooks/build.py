"""Runs the notebooks: NAME.py (cells between `# %%` lines) becomes NAME.ipynb with its outputs.

python notebooks/build.py [NAME ...]   runs these, or all
python notebooks/build.py --check      runs nothing; finds pairs that do not belong together

Exit codes: 0 done, 2 something is wrong: one line on stderr for each notebook.
"""

import argparse
import base64
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

from mrcnn.io.files import replace_text

FOLDER = Path(__file__).resolve().parent
CELL_SECONDS = 1800  # after which a cell is taken to hang
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}", re.IGNORECASE)
_AGAIN = "Run `make notebooks`."

# Figures come at one size everywhere, and the notes that TensorFlow's C++ writes about a machine
# stay in its terminal: what a cell writes to stderr is Python's.
_CONFIG = """
c = get_config()  # noqa
c.InlineBackend.rc = {"figure.dpi": 72}
c.IPKernelApp.capture_fd_output = False
c.IPKernelApp.log_level = "ERROR"
"""


class NotebookError(Exception):
    """A notebook that does not run, or a pair that does not belong together."""


class _ThisPython(AsyncKernelManager):
    """Kernels of this interpreter, whatever other kernels are installed."""

    def __init__(self, **options):
        super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **options)


def sources(folder: Path = FOLDER) -> list[Path]:
    """The notebooks of a folder as their .py files, in the order of names."""
    return sorted(path for path in folder.glob("*.py") if path.name != "build.py")


def read_source(path: Path) -> nbformat.NotebookNode:
    """A notebook without outputs, of a .py file."""
    return jupytext.read(path, fmt="py:percent")


def execute(notebook: nbformat.NotebookNode, path: Path, startup: str = "") -> None:
    """Run all cells in a new kernel of this interpreter, in the folder of the notebook.

    Args:
        notebook: gets the outputs.
        path: of its file, for the folder and messages.
        startup: Python that the kernel runs before the first cell.

    Raises:
        NotebookError: a cell fails, takes too long, or writes to stderr or an address.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=_ThisPython,
        timeout=CELL_SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    with tempfile.TemporaryDirectory() as home:  # instead of the user's own IPython profile
        profile = Path(home) / "profile_default"
        (profile / "startup").mkdir(parents=True)
        (profile / "ipython_kernel_config.py").write_text(_CONFIG, encoding="utf-8")
        (profile / "startup" / "first.py").write_text(startup, encoding="utf-8")
        fixed = {
            "IPYTHONDIR": home,
            "KERAS_BACKEND": "tensorflow",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYTHONHASHSEED": "0",
            # Pictures are published: those of the embedded sections, whose license allows it.
            "SEBRE_EMBEDDED_ONLY": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        try:
            client.execute(env={**os.environ, **fixed})
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            fault = next(_faulty_outputs(notebook), None)
            raise NotebookError(f"{_shown(path)}: {fault or error}") from error
    for fault in _faulty_outputs(notebook):
        raise NotebookError(f"{_shown(path)}: {fault}")
    for number, output in _outputs(notebook):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if _ADDRESS.search(text):
            raise NotebookError(
                f"{_shown(path)}: cell {number} shows an address, which no other run has: "
                f"{text.strip()}. Give the value a name, or show something else."
            )


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Leave what another run of the same cells would give too, and make figures small."""
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
    for _, output in _outputs(notebook):
        if "image/png" in output.get("data", {}):
            output.data.pop("image/jpeg", None)  # Pillow shows a picture in both ways
            output.data["image/png"] = _small_png(output.data["image/png"])


def build(path: Path) -> None:
    """Run a notebook and write its .ipynb.

    Raises:
        NotebookError, OSError: nothing is written.
    """
    start = time.perf_counter()
    notebook = read_source(path)
    execute(notebook, path)
    tidy(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    replace_text(path.with_suffix(".ipynb"), text)
    seconds = time.perf_counter() - start
    print(f"{_shown(path.with_suffix('.ipynb'))}: {seconds:.0f} s, {len(text) / 1e3:.0f} kB")


def faults(folder: Path = FOLDER) -> Iterator[str]:
    """What is wrong with the pairs of a folder, one message a notebook."""
    scripts = {path.stem: path for path in sources(folder)}
    written = {path.stem: path for path in folder.glob("*.ipynb")}
    for name in sorted({*scripts, *written}):
        if name not in written:
            yield f"{_shown(scripts[name])} has no {name}.ipynb. {_AGAIN}"
        elif name not in scripts:
            yield f"{_shown(written[name])} has no {name}.py. Restore it, or remove the notebook."
        elif fault := _pair_fault(scripts[name], written[name]):
            yield f"{_shown(written[name])} {fault}"


def _pair_fault(script: Path, written: Path) -> str:
    try:
        notebook = nbformat.read(written, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, TypeError, AttributeError, KeyError, nbformat.ValidationError) as error:
        return f"cannot be read ({str(error).partition(chr(10))[0]}). {_AGAIN}"
    cells = [[(c.cell_type, c.source) for c in n.cells] for n in (read_source(script), notebook)]
    for number, (wanted, found) in enumerate(zip_longest(*cells), start=1):
        if wanted != found:
            return f"is out of date: cell {number} differs from {_shown(script)}. {_AGAIN}"
    runs = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    if runs != list(range(1, len(runs) + 1)):
        return f"was not run from its first cell to its last. {_AGAIN}"
    fault = next(_faulty_outputs(notebook), "")
    return f"holds a fault: {fault}. {_AGAIN}" if fault else ""


def _faulty_outputs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Errors and texts on stderr, with the numbers of their cells, counted from 1."""
    for number, output in _outputs(notebook):
        if output.output_type == "error":
            yield f"cell {number} fails: {output.ename}: {output.evalue}"
        elif output.get("name") == "stderr":
            yield f"cell {number} writes to stderr: {output.text.strip()}"


def _outputs(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, nbformat.NotebookNode]]:
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            yield number, output


def _small_png(data: str) -> str:
    """A PNG in base64 with at most 256 colors; as it is if that has no fewer bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    small = io.BytesIO()
    # This way regions of similar colors stay apart; the default method merges them.
    palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
    palette.save(small, format="PNG", optimize=True)
    return min(data, base64.b64encode(small.getvalue()).decode("ascii"), key=len)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Run the script.

    Args:
        argv: arguments; None takes those of the process.
        folder: of the notebooks.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="notebooks/build.py", description="Runs the notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--check", action="store_true", help="run nothing; compare the pairs")
    args = parser.parse_args(argv)
    if args.check:
        found = list(faults(folder))
        print("\n".join(found), file=sys.stderr, end="\n" if found else "")
        return 2 if found else 0
    known = {path.stem: path for path in sources(folder)}
    if unknown := [name for name in args.names if name not in known]:
        print(f"No notebook {unknown[0]!r}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    try:
        for name in args.names or known:
            build(known[name])
    except (NotebookError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
