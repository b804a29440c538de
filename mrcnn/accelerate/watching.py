"""Notices when the weights of a model change."""

from collections.abc import Callable
from typing import Any

import keras


def watch_assignments(model: keras.Model, notice: Callable[[], None]) -> None:
    """Call `notice()` before every later assignment to a variable of a built model; optimizers
    that update variables without `assign` are not seen."""

    def noticing(assign: Callable) -> Callable:
        def wrapper(value: Any) -> Any:
            notice()
            return assign(value)

        return wrapper

    for variable in model.variables:
        variable.assign = noticing(variable.assign)
