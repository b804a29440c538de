"""The house keeps its own rules: size of files, direction of imports, docstrings, quiet."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

PACKAGES = ("mrcnn", "sebre")
# What is read at once: modules of a folder, and lines of code of a function.
MODULES = 15
CODE_LINES = 60

# Rooms from the lowest to the highest: a room imports those before it. A name without a dot is
# a module beside the rooms.
ROOMS = {
    "mrcnn": (
        "errors io compat config backend structures imageio weights modeling data accelerate "
        "training visualize parallel_model matterport model export utils augment mask_formats"
    ).split(),
    "sebre": (
        "program data experiments drawing prepare networks evaluation place trust predict "
        "morphometry inspect registration synthesis corrections neurites areas trials report bench "
        "viewer cli config dataset regions __main__"
    ).split(),
}
# Longer functions, and why each is better whole.
LONG_FUNCTIONS: dict[str, str] = {}
# Stems that stand for one idea in two places: what a room does, and the public path to it.
SHARED_STEMS = {
    "augment": "public path of mrcnn.data.augment",
    "mask_formats": "public path of mrcnn.structures.mask_formats",
    "config": "Matterport's settings, and the public path of those of the experiments",
    "dataset": "Matterport's Dataset, its subclass for sections, and its public path",
    "regions": "public path of sebre.data.regions",
    "ibsr": "an experiment, and the source of its sections",
    "slicemap": "an experiment, and the source of its sections",
}
# Public paths that nothing inside their package imports: they hand on what the rooms hold.
FACADES = {
    "mrcnn": {"utils", "visualize", "augment", "mask_formats"},
    "sebre": {"config", "dataset", "regions"},
}

# What is documented to print: Matterport's interface, and the commands.
PRINTING = {
    "mrcnn/config.py": {"display"},
    "mrcnn/structures/matching.py": {"compute_ap_range"},
    "mrcnn/model.py": {"log"},
    "mrcnn/visualize/display.py": {"display_instances", "draw_rois"},
    "sebre/program.py": {"say", "complain"},
}
# The parts of a layer have the meaning that Keras gives them.
WITHOUT_DOCSTRING = {"build", "call", "get_config"}


def files(package: str) -> list[Path]:
    return sorted(p for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts)


def trees(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in files(package):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def module_of(name: str) -> str:
    """Dotted name of a file: mrcnn/modeling/kernels.py -> mrcnn.modeling.kernels."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(name: str, tree: ast.AST) -> set[str]:
    """Dotted names that a file imports anywhere in it, `from a import b` as a and a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = node.module or ""
            if node.level:
                here = module_of(name).split(".")
                keep = len(here) - node.level + name.endswith("__init__.py")
                parent = ".".join([*here[:keep], *filter(None, [node.module])])
            found |= {parent, *(f"{parent}.{alias.name}" for alias in node.names)}
    return found


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a directed graph, first node repeated at the end; empty without any."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node not in done:
            for target in sorted(graph.get(node, ())):
                if circle := visit(target, [*path, node]):
                    return circle
            done.add(node)
        return []

    return next((circle for node in sorted(graph) if (circle := visit(node, []))), [])


def import_graph(package: str) -> dict[str, set[str]]:
    """Modules that each module imports; names that a package hands on count as the package."""
    known = {module_of(name): tree for name, tree in trees(package)}
    graph = {}
    for name, tree in trees(package):
        found = imports(name, tree) & set(known)
        inside = {target.rpartition(".")[0] for target in found}
        graph[module_of(name)] = found - inside - {package, module_of(name)}
    return graph


def room_of(module: str) -> str:
    """Folder of a module, or the module itself where it lies beside the folders."""
    return module.split(".")[1] if "." in module else ""


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of a function without its docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    prose = range(function.body[0].lineno, body[0].lineno if body else function.end_lineno + 1)
    skipped = set(prose) if ast.get_docstring(function) is not None else set()
    return sum(
        bool(text := lines[number - 1].strip()) and not text.startswith("#")
        for number in range(function.lineno, function.end_lineno + 1)
        if number not in skipped
    )


def test_the_search_for_circles_finds_them():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    tree = ast.parse("from . import b\nfrom .c import d\nimport p.e\ndef f():\n    from p import g")
    assert imports("p/a.py", tree) == {"p", "p.b", "p.c", "p.c.d", "p.e", "p.g"}


def test_folders_are_seen_at_a_glance():
    sizes = Counter(path.parent for package in PACKAGES for path in files(package))
    many = {f.relative_to(ROOT).as_posix(): n - 1 for f, n in sizes.items() if n - 1 > MODULES}
    assert many == {}


def test_functions_are_read_in_one_sitting():
    found = {}
    for name, tree in trees(*PACKAGES):
        lines = (ROOT / name).read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{name}: {node.name}"] = code_lines(node, lines)
    assert len(found) > 1000
    long = {name for name, n in found.items() if n > CODE_LINES}
    assert long == set(LONG_FUNCTIONS)


def test_a_name_means_one_thing():
    stems = Counter(path.stem for package in PACKAGES for path in files(package))
    twice = {stem for stem, n in stems.items() if n > 1 and not stem.startswith("__")}
    assert twice == set(SHARED_STEMS)


@pytest.mark.parametrize("package", PACKAGES)
def test_lower_rooms_do_not_import_upper_ones(package):
    place = {room: number for number, room in enumerate(ROOMS[package])}
    graph = import_graph(package)
    assert {room_of(module) for module in graph} - {""} == set(place), "a room without a place"
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph.items()
        for target in targets
        if room_of(module) and room_of(target)
        if place[room_of(target)] > place[room_of(module)]
    ]
    assert wrong == []


def test_modules_that_are_commands_end_in_one_line():
    """`python -m sebre.MODULE` ends a user's mistake as `sebre` does."""
    own = {"sebre/__main__.py", "sebre/bench/__main__.py"}  # they have exit codes of their own
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files("sebre")}
    guard = 'if __name__ == "__main__":'
    commands = {n: text for n, text in texts.items() if guard in text and n not in own}
    assert len(commands) > 20
    assert [name for name, text in commands.items() if "    run_module(main)\n" not in text] == []
    wrong = ["slicemap", "--dataset", "nowhere", "--out", "scores.json"]
    found = subprocess.run(
        [sys.executable, "-m", "sebre.trials.copied_labels", *wrong],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert found.returncode == 2 and found.stdout == ""
    assert re.search(r"^sebre\.trials\.copied_labels: .*nowhere.*\n\Z", found.stderr, re.M)
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_public_paths_are_for_programs_outside(package):
    facades = {f"{package}.{name}" for name in FACADES[package]}
    wrong = [
        f"{name} imports {target}"
        for name, tree in trees(package)
        if f"{package}.{room_of(module_of(name))}" not in facades
        for target in imports(name, tree)
        if ".".join(target.split(".")[:2]) in facades
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_imports(package):
    graph = import_graph(package)
    assert sum(map(len, graph.values())) > 10, "the imports were not found"
    assert find_cycle(graph) == []


def test_the_network_knows_nothing_of_brains():
    wrong = {
        name: sorted(target for target in imports(name, tree) if target.split(".")[0] == "sebre")
        for name, tree in trees("mrcnn")
    }
    assert {name: targets for name, targets in wrong.items() if targets} == {}


def test_brains_use_public_names_of_the_network_only():
    wrong = [
        f"{name}: {target}"
        for name, tree in trees("sebre")
        for target in imports(name, tree)
        if target.startswith("mrcnn.") and any(p.startswith("_") for p in target.split("."))
    ]
    assert wrong == []


def public(node: ast.AST, prefix: str = "", in_class: bool = False) -> Iterator[tuple[str, bool]]:
    """Public definitions of a module: dotted name, and whether it has a docstring."""
    for child in getattr(node, "body", []):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = child.name
            if name.startswith("_"):
                continue
            if not in_class or not (
                name in WITHOUT_DOCSTRING or name.startswith("compute_output_")
            ):
                yield prefix + name, ast.get_docstring(child) is not None
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{name}.", in_class=True)


def test_public_names_have_docstrings():
    found = {
        f"{file}: {name}": documented
        for file, tree in trees(*PACKAGES)
        for name, documented in [("(module)", ast.get_docstring(tree) is not None), *public(tree)]
    }
    assert len(found) > 200
    assert [name for name, documented in found.items() if not documented] == []


def calls(tree: ast.AST, name: str, function: str = "") -> Iterator[str]:
    """For each call of a name: the outermost function or method around it."""
    for child in ast.iter_child_nodes(tree):
        inner = function
        if not inner and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = child.name
        if isinstance(child, ast.Call):
            called = child.func
            if name == getattr(called, "id", None) or name == getattr(called, "attr", None):
                yield inner or "(module)"
        yield from calls(child, name, inner)


def test_only_the_documented_functions_print():
    wrong = [
        f"{name}: {function}"
        for name, tree in trees(*PACKAGES)
        for function in set(calls(tree, "print")) - PRINTING.get(name, set())
    ]
    assert wrong == []
    # The search does find what prints.
    tree = ast.parse((ROOT / "mrcnn/model.py").read_text("utf-8"))
    assert set(calls(tree, "print")) == {"log"}


def test_nobody_changes_the_working_directory():
    assert [name for name, tree in trees(*PACKAGES) if set(calls(tree, "chdir"))] == []
