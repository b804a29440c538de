"""The house keeps its own rules: size of files, direction of imports, docstrings, quiet."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

PACKAGES = ("mrcnn", "sebre")
LINES = 420  # what is read in one sitting

# What is documented to print: Matterport's interface, and the commands.
PRINTING = {
    "mrcnn/config.py": {"display"},
    "mrcnn/structures/matching.py": {"compute_ap_range"},
    "mrcnn/model.py": {"log"},
    "mrcnn/visualize/display.py": {"display_instances", "draw_rois"},
    "sebre/cli/commands.py": {"say", "main", "_detect", "_compare"},
    "sebre/cli/demo.py": {"main"},
    "sebre/cli/publish.py": {"main"},
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
    found = {module_of(name): imports(name, tree) for name, tree in trees(package)}
    return {name: (targets & set(found)) - {package} for name, targets in found.items()}


def test_the_search_for_circles_finds_them():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    tree = ast.parse("from . import b\nfrom .c import d\nimport p.e\ndef f():\n    from p import g")
    assert imports("p/a.py", tree) == {"p", "p.b", "p.c", "p.c.d", "p.e", "p.g"}


def test_files_are_read_in_one_sitting():
    lengths = {p.relative_to(ROOT): len(p.read_text("utf-8").splitlines()) for p in files("mrcnn")}
    assert len(lengths) > 20
    assert {name: n for name, n in lengths.items() if n > LINES} == {}


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
