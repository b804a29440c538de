"""The configuration that is measured, and changes of it."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sebre.bench.worker import NotAvailable


def configuration(settings: Mapping[str, Any], seed: int) -> Any:
    """SeBRe's configuration with every detection kept, and the settings over it.

    Raises:
        NotAvailable: see `available`.
    """
    from sebre.config import SeBReConfig, with_settings

    available(settings)
    settings = {"NAME": "bench", "SEED": seed, "DETECTION_MIN_CONFIDENCE": 0.0, **settings}
    return with_settings(SeBReConfig(), **settings)


def available(settings: Mapping[str, Any]) -> None:
    """Raise NotAvailable if a setting or value is not there, or the package of a RUNTIME."""
    from sebre.config import SeBReConfig, with_settings

    runtime = settings.get("RUNTIME", "keras")
    if find_spec(runtime) is None:
        raise NotAvailable(f"the package is not installed: pip install {runtime}")
    try:
        with_settings(SeBReConfig(), **settings)
    except ValueError as error:
        raise NotAvailable(str(error)) from error
