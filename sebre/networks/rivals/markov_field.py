"""The most probable labels of a Markov random field over a grid, by alpha-expansion.

Each pixel pays -log of the probability of its label, each pair of neighbors a constant where their
labels differ (a Potts term). PyMaxflow solves it (Boykov, Veksler and Zabih 2001).
"""

import logging

import numpy as np

from mrcnn.errors import UserError

_LEAST = 1e-6  # probability
_CYCLES = 5  # over all labels, at most


def most_probable_field(probabilities: np.ndarray, potts: float) -> np.ndarray:
    """Labels of a grid of any number of axes.

    Args:
        probabilities: float [..., K] of each label.
        potts: what two neighbors pay whose labels differ, at least 0; 0 gives the most probable
            label of each pixel.

    Returns:
        int64 [...]: labels 0 to K - 1.

    Raises:
        UserError: PyMaxflow is not installed, or `potts` is negative.
    """
    if potts < 0:
        raise UserError(f"The Potts term is {potts}; it must be at least 0.")
    labels = probabilities.argmax(-1)
    if potts == 0:
        return labels
    try:
        from maxflow.fastmin import aexpansion_grid
    except ModuleNotFoundError:
        raise UserError(
            "The Markov random field of F-CNN needs PyMaxflow: pip install 'sebre[rivals]', or go "
            "without it (--set FCNN_POTTS=0)."
        ) from None
    # It tells of every cut.
    logging.getLogger(aexpansion_grid.__module__).setLevel(logging.WARNING)
    # Labels that no pixel would take alone are not tried: each costs a cut.
    tried = np.unique(labels)
    if len(tried) == 1:
        return labels
    unary = -np.log(np.maximum(probabilities[..., tried], _LEAST)).astype(float)
    pairs = potts * (1 - np.eye(len(tried)))
    rows = np.searchsorted(tried, labels)
    return tried[aexpansion_grid(unary, pairs, max_cycles=_CYCLES, labels=rows)]
