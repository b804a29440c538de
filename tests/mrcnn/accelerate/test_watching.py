import keras
import numpy as np

from mrcnn.accelerate.watching import watch_assignments


def test_assignments_are_watched():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    seen = []
    watch_assignments(model, lambda: seen.append(1))
    model.set_weights([np.ones((2, 1)), np.zeros(1)])
    assert len(seen) == 2
