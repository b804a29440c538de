"""What a test cannot run without: a folder of reference data, a package.

A test that lacks something is skipped with a reason that the summary of the run counts
(`tests/conftest.py`), so that "all passed" is never read for "all ran".
"""

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

DATA, PACKAGE = "lacks data", "lacks a package"


def all_must_run() -> bool:
    """Whether missing data is a failure: SEBRE_REQUIRE_DATA=1, as `.ci/run` sets it."""
    return os.environ.get("SEBRE_REQUIRE_DATA") == "1"


def without_data(message: str) -> NoReturn:
    """Skip a test whose data is not there; where everything must run, fail it."""
    if all_must_run():
        pytest.fail(message)
    pytest.skip(f"{DATA}: {message}")


def demand_package(name: str, always: bool = False) -> None:
    """Skip a test whose package is not installed; `always`: fail it where everything must run."""
    if importlib.util.find_spec(name) is None:
        _without_package(name, always)


def demand_program(*names: str, always: bool = False) -> str:
    """Path of the first of some programs that is there; without any, as `demand_package`."""
    for name in names:
        if path := shutil.which(name):
            return path
    _without_package(names[0], always)


def _without_package(name: str, always: bool) -> NoReturn:
    if always and all_must_run():
        pytest.fail(f"{name} is not installed.")
    pytest.skip(f"{PACKAGE}: {name} is not installed.")


def summary(reasons: Iterable[str]) -> str:
    """One line on the tests that were skipped, by their reasons; empty if there are none."""
    kinds: Counter[str] = Counter()
    packages: set[str] = set()
    for reason in reasons:
        if DATA in reason:
            kinds["for want of data (SEBRE_DATA, SEBRE_GOLDEN; see tests/data/README.md)"] += 1
        elif PACKAGE in reason or "could not import" in reason:
            kinds["for want of a package"] += 1
            packages.add(reason.partition(f"{PACKAGE}: ")[2].partition(" ")[0])
        else:
            kinds["for other reasons"] += 1
    named = ", ".join(sorted(filter(None, packages)))
    parts = [f"{number} {kind}" for kind, number in kinds.items()]
    return f"Not run: {'; '.join(parts)}{f' ({named})' if named else ''}." if parts else ""
