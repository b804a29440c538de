"""Every notebook is what its .py file gives, and what checks and builds them finds faults."""

import base64
import io
import json
import sys

import nbformat
import pytest
from notebook_runs import NAMES, NOTEBOOKS, OFFLINE, load_build
from PIL import Image

build = load_build()

SOURCE = """# %% [markdown]
# # Title

# %%
x = 1
x

# %% [markdown]
# Some prose.

# %%
print(x)
"""
FIGURE = """# %%
import numpy as np
import matplotlib.pyplot as plt
from PIL import Image

_, ax = plt.subplots(figsize=(4, 3))
_ = ax.imshow(np.random.default_rng(0).random((60, 80, 3)))

# %%
Image.fromarray(np.zeros((8, 9, 3), np.uint8))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "notebooks" / "tiny.py"
    path.parent.mkdir()
    path.write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture
def pair(script):
    """A notebook as a run would leave it, without a kernel."""
    notebook = build.read_source(script)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        cell.execution_count = number
    data = {"text/plain": "1"}
    code[0].outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
    code[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
    build.tidy(notebook)
    nbformat.write(notebook, script.with_suffix(".ipynb"))
    return script


def change(script, edit):
    path = script.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


def faults(script):
    return list(build.faults(script.parent))


def test_the_notebooks_are_all_there():
    assert [path.stem for path in build.sources(NOTEBOOKS)] == NAMES


@pytest.mark.parametrize("name", [path.stem for path in build.sources(NOTEBOOKS)])
def test_the_notebook_is_what_its_source_gives(name):
    assert [fault for fault in build.faults(NOTEBOOKS) if f"/{name}." in fault] == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_is_small_and_shows_no_place_of_the_machine(path):
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/png", None)
    text = nbformat.writes(notebook)
    for place in ("/tmp/", "/home/", "/root/", "/work/", sys.prefix):
        assert place not in text


def test_no_notebook_is_without_its_source():
    assert {p.stem for p in NOTEBOOKS.glob("*.ipynb")} <= {p.stem for p in build.sources(NOTEBOOKS)}


def test_a_pair_that_belongs_together_has_no_fault(pair, capsys):
    assert faults(pair) == []
    assert build.main(["--check"], pair.parent) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "new", "cell"),
    [
        ("x = 1", "x = 2", 2),
        ("# Some prose.", "# Other prose.", 3),
        ("# %% [markdown]\n# Some prose.", "# %%\n# Some prose.", 3),
        ("# %%\nprint(x)\n", "", 4),
        ("print(x)\n", "print(x)\n\n# %%\nprint(x)\n", 5),
    ],
)
def test_a_changed_source_is_found(pair, capsys, old, new, cell):
    assert old in SOURCE
    pair.write_text(SOURCE.replace(old, new), encoding="utf-8")
    message = (
        f"notebooks/tiny.ipynb is out of date: cell {cell} differs from notebooks/tiny.py. "
        "Run `make notebooks`."
    )
    assert faults(pair) == [message]
    assert build.main(["--check"], pair.parent) == 2
    assert capsys.readouterr() == ("", message + "\n")


def test_a_file_that_is_alone_is_found(pair):
    pair.with_suffix(".ipynb").rename(pair.with_name("other.ipynb"))
    assert faults(pair) == [
        "notebooks/other.ipynb has no other.py. Restore it, or remove the notebook.",
        "notebooks/tiny.py has no tiny.ipynb. Run `make notebooks`.",
    ]


def test_a_notebook_that_was_not_run_is_found(pair):
    def forget(notebook):
        notebook.cells[3].update(execution_count=None, outputs=[])

    change(pair, forget)
    message = "notebooks/tiny.ipynb was not run from its first cell to its last."
    assert faults(pair) == [f"{message} Run `make notebooks`."]


def test_cells_run_in_another_order_are_found(pair):
    change(pair, lambda notebook: notebook.cells[1].update(execution_count=7))
    assert "was not run from its first cell to its last" in faults(pair)[0]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=["..."]),
            "cell 4 fails: KeyError: 'x'",
        ),
        (
            nbformat.v4.new_output("stream", name="stderr", text="UserWarning: no\n"),
            "cell 4 writes to stderr: UserWarning: no",
        ),
    ],
    ids=["error", "stderr"],
)
def test_an_output_that_tells_of_a_fault_is_found(pair, output, told):
    change(pair, lambda notebook: notebook.cells[3].outputs.append(output))
    assert faults(pair) == [
        f"notebooks/tiny.ipynb holds a fault: {told}. Run `make notebooks`.",
    ]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cells": 3}', '{"nbformat": 4, "nbformat_minor": 5}']
)
def test_a_file_that_is_no_notebook_is_found(pair, text):
    pair.with_suffix(".ipynb").write_text(text, encoding="utf-8")
    assert len(faults(pair)) == 1
    assert faults(pair)[0].startswith("notebooks/tiny.ipynb cannot be read (")


def test_building_gives_the_same_small_file_twice(script, capsys):
    script.write_text(FIGURE, encoding="utf-8")
    written = script.with_suffix(".ipynb")
    assert build.main([], script.parent) == 0
    first = written.read_text("utf-8")
    assert faults(script) == []
    assert build.main(["tiny"], script.parent) == 0
    assert written.read_text("utf-8") == first
    assert capsys.readouterr().out.count("notebooks/tiny.ipynb: ") == 2

    notebook = json.loads(first)
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-0", "cell-1"]
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    outputs = [output["data"] for cell in notebook["cells"] for output in cell["outputs"]]
    assert [set(data) for data in outputs] == [{"image/png", "text/plain"}] * 2
    figure = Image.open(io.BytesIO(base64.b64decode(outputs[0]["image/png"])))
    assert figure.mode == "P"
    assert "288x216" in outputs[0]["text/plain"][0], "a figure has 72 dots per inch"


def test_the_kernel_is_of_this_python_whatever_is_installed(script, tmp_path, monkeypatch):
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "Python 3", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = build.read_source(script)
    notebook.cells[1].source = "import os, sys\nprint(sys.executable, os.getcwd())"
    notebook.cells[3].source = "print(os.environ['MPLBACKEND'], os.environ['KERAS_BACKEND'])"
    build.execute(notebook, script)
    assert notebook.cells[1].outputs[0].text == f"{sys.executable} {script.parent}\n"
    assert notebook.cells[3].outputs[0].text == (
        "module://matplotlib_inline.backend_inline tensorflow\n"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 / 0", "cell 4 fails: ZeroDivisionError: division by zero"),
        ("import warnings; warnings.warn('old')", "cell 4 writes to stderr: "),
        ("object()", "cell 4 shows an address, which no other run has: <object at 0x"),
        ("import os; os._exit(1)", "died"),
        (
            "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')",
            "cell 4 fails: URLError: <urlopen error a notebook may not use the network: 192.0.2.1>",
        ),
        (
            "import socket; socket.create_connection(('example.org', 80))",
            "cell 4 fails: OSError: a notebook may not use the network: example.org",
        ),
    ],
)
def test_a_run_that_goes_wrong_says_where(script, line, told):
    notebook = build.read_source(script)
    notebook.cells[3].source = line
    with pytest.raises(build.NotebookError) as caught:
        build.execute(notebook, script, OFFLINE)
    assert str(caught.value).startswith("notebooks/tiny.py: ")
    assert told in str(caught.value)


def test_a_failed_build_leaves_the_notebook_as_it_was(pair, capsys):
    before = pair.with_suffix(".ipynb").read_bytes()
    pair.write_text(SOURCE.replace("x = 1", "x = y"), encoding="utf-8")
    assert build.main([], pair.parent) == 2
    message = "notebooks/tiny.py: cell 2 fails: NameError: name 'y' is not defined\n"
    assert capsys.readouterr().err == message
    assert pair.with_suffix(".ipynb").read_bytes() == before


def test_an_unknown_name_is_refused(pair, capsys):
    assert build.main(["tinny"], pair.parent) == 2
    assert capsys.readouterr().err == "No notebook 'tinny'; there are tiny.\n"
