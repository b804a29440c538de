"""Fixtures of all tests: reference data, and a fixed seed. Says what was not run."""

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lacking import summary, without_data
from op_by_op import run_op_by_op
from paths import DATA, INTEGRATION, ROOT

from sebre.report.published import PublishedScore, read_published

# Before anything imports Keras or Matplotlib.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


# --- Kinds and summary -------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs whole programs; `make unit` leaves it out."""
    for item in items:
        if INTEGRATION in item.path.parents:
            item.add_marker("integration")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were not run, and for want of what."""
    skipped = terminalreporter.stats.get("skipped", [])
    if line := summary(str(report.longrepr) for report in skipped):
        terminalreporter.write_line(line, yellow=True)


# --- Reference data ----------------------------------------------------------------------


def _shared_folder(variable: str, default: str) -> Path | None:
    """A folder outside the repository; None where it is not."""
    folder = Path(os.environ.get(variable, default))
    folder = folder if folder.is_absolute() else ROOT / folder
    if not folder.is_dir() and variable in os.environ:
        pytest.fail(f"{variable} names {folder}, which is not a folder.")
    return folder.resolve() if folder.is_dir() else None


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden numbers: SEBRE_GOLDEN, ../shared/golden, or the small set here."""
    return _shared_folder("SEBRE_GOLDEN", "../shared/golden") or DATA / "golden"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the source data: SEBRE_DATA, or ../shared/data."""
    folder = _shared_folder("SEBRE_DATA", "../shared/data")
    if folder is None:
        without_data("the source data; set SEBRE_DATA to its folder to run this test.")
    return folder


@pytest.fixture(scope="session")
def golden_weights(golden: Path) -> ModuleType:
    """The module golden/weights.py, which makes the weights of the golden numbers."""
    spec = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_weight_file(
    golden_weights: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict], Path]:
    """Gives the weight file of a record of the golden manifest, written once for all cases."""
    folder = tmp_path_factory.mktemp("golden_weights")

    def weight_file(record: dict) -> Path:
        network = record["backbone"], record["num_classes"], record["weight_seed"]
        path = folder / ("_".join(map(str, network)) + ".h5")
        if not path.exists():
            golden_weights.write_legacy_h5(path, *network)
        return path

    return weight_file


@pytest.fixture(scope="session")
def published() -> tuple[PublishedScore, ...]:
    """The numbers that the paper prints."""
    return read_published()


# --- Every test --------------------------------------------------------------------------


@pytest.fixture
def op_by_op() -> Iterator[None]:
    """TensorFlow runs functions operation by operation.

    For a step or two of a large network that takes half as long as to compile them. What is
    compiled is tested where networks take many steps.
    """
    with run_op_by_op():
        yield


@pytest.fixture
def trains_op_by_op(monkeypatch: pytest.MonkeyPatch) -> None:
    """`MaskRCNN.train` runs operation by operation; what follows it is compiled as ever."""
    from mrcnn.model import MaskRCNN

    compiled = MaskRCNN.train

    @functools.wraps(compiled)
    def train(*args: Any, **kwargs: Any) -> Any:
        with run_op_by_op():
            return compiled(*args, **kwargs)

    monkeypatch.setattr(MaskRCNN, "train", train)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python, NumPy and the backend, so that every test is alone with its numbers."""
    import keras  # takes seconds, which a process that only hands out the tests need not spend

    keras.utils.set_random_seed(0)
