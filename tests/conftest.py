"""Fixtures of all tests: reference data, and a fixed seed."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

# Before anything imports Keras or Matplotlib.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with them at the end."""
    first = ("test_scripts", "test_notebooks_")
    items.sort(key=lambda item: not item.path.name.startswith(first))


def _shared_folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    folder = folder if folder.is_absolute() else ROOT / folder
    if not folder.is_dir():
        message = f"{folder} is not there; set {variable} to the folder to run this test."
        if os.environ.get("SEBRE_REQUIRE_DATA") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder.resolve()


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden numbers: SEBRE_GOLDEN, or ../shared/golden."""
    return _shared_folder("SEBRE_GOLDEN", "../shared/golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the source data: SEBRE_DATA, or ../shared/data."""
    return _shared_folder("SEBRE_DATA", "../shared/data")


@pytest.fixture(scope="session")
def golden_weights(golden: Path) -> ModuleType:
    """The module golden/weights.py, which makes the weights of the golden numbers."""
    spec = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python, NumPy and the backend, so that every test is alone with its numbers."""
    keras.utils.set_random_seed(0)
