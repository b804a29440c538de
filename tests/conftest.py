"""Fixtures of all tests: reference data, and a fixed seed. Says what was not run."""

import importlib.util
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from lacking import summary, without_data
from paths import DATA, ROOT

from sebre.report.published import PublishedScore, read_published

# Before anything imports Keras or Matplotlib.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# Seconds of every file of tests in an earlier run; `--store-durations` writes it.
DURATIONS = DATA / "durations.json"


# --- Order and summary -------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store-durations",
        action="store_true",
        help=f"write the seconds of each file to {DURATIONS.relative_to(ROOT)}, which orders them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with them at the end.

    Files that were not measured yet come before all others.
    """
    seconds = json.loads(DURATIONS.read_text("utf-8")) if DURATIONS.is_file() else {}
    items.sort(key=lambda item: -seconds.get(_file(item.nodeid), float("inf")))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests were not run and why, and store what the files took if asked to."""
    skipped = terminalreporter.stats.get("skipped", [])
    if line := summary(str(report.longrepr) for report in skipped):
        terminalreporter.write_line(line, yellow=True)
    if config.getoption("--store-durations"):
        seconds: defaultdict[str, float] = defaultdict(float)
        for reports in terminalreporter.stats.values():
            for report in reports:
                if isinstance(report, pytest.TestReport):
                    seconds[_file(report.nodeid)] += report.duration
        known = json.loads(DURATIONS.read_text("utf-8")) if DURATIONS.is_file() else {}
        known = {name: value for name, value in known.items() if (ROOT / name).is_file()}
        known |= {name: round(value) for name, value in seconds.items()}
        text = json.dumps(dict(sorted(known.items(), key=lambda item: -item[1])), indent=1)
        DURATIONS.write_text(text + "\n", encoding="utf-8")


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


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
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python, NumPy and the backend, so that every test is alone with its numbers."""
    import keras  # takes seconds, which a process that only hands out the tests need not spend

    keras.utils.set_random_seed(0)
