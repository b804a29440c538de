"""Fixtures of all tests: reference data, and a fixed seed."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

from sebre.report.published import PublishedScore, read_published

# Before anything imports Keras or Matplotlib.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


# Files of more than half a minute, the longest first.
LONG = (
    "test_golden_training",
    "test_scripts_subfields",
    "test_notebooks_experiments",
    "test_training",
    "test_matterport_programs",
    "test_notebooks_others",
    "test_scripts_mouse",
    "test_model_modes",
    "test_backends",
    "test_golden_inference",
    "test_parallel",
    "test_model",
    "test_cli",
    "test_export",
    "test_cluster",
    "test_training_graph",
    "test_unet",
    "test_registration",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with them at the end."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


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
