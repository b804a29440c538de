"""Training of the network of areas on the annotated sections of a stack."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras

from mrcnn.errors import UserError
from mrcnn.io.files import arrays_sha256
from sebre.areas.area_prediction import AreaNetwork, network_of
from sebre.areas.area_runs import compiled, run_training
from sebre.areas.area_samples import Augmentation, SampleMaker
from sebre.areas.area_unet import (
    CONTEXT_WIDTHS,
    DETAIL_WIDTHS,
    PATCH,
    AreaCrossEntropy,
    build_area_network,
    class_weights,
    copy_detail_encoder,
)
from sebre.areas.atlas_prior import Neighbors, PriorDraw
from sebre.areas.stacks import Stack


@dataclass(frozen=True)
class AreaSettings:
    """Settings of a training, which stay the same when it goes on.

    Attributes:
        steps: of the optimizer.
        batch: squares a step.
        patch: side of the output of a square.
        detail_widths, context_widths: of the network.
        learning_rate: the highest.
        prior: how priors are drawn; `absent` 1 trains without.
        augmentation: of the squares.
        precision: of the arithmetic: float32 or mixed_bfloat16.
        seed: of weights and squares.
    """

    steps: int = 1800
    batch: int = 2
    patch: int = PATCH
    detail_widths: tuple[int, ...] = DETAIL_WIDTHS
    context_widths: tuple[int, ...] = CONTEXT_WIDTHS
    learning_rate: float = 3e-3
    prior: PriorDraw = field(default_factory=PriorDraw)
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: str = "float32"
    seed: int = 0


def train_areas(
    stack: Stack,
    known: Sequence[int],
    out: str | Path,
    settings: AreaSettings,
    neighbors: Neighbors | None = None,
    start: keras.Model | None = None,
    check_s: float = 120.0,
) -> AreaNetwork:
    """Train on the annotated sections of a stack.

    Args:
        stack: with labels.
        known: numbers of the sections to learn from; labels of others are not looked at.
        out: folder of the run.
        settings: of the run.
        neighbors: of the stack, for priors; None trains without.
        start: network whose detail encoder this one starts from: that of
            `sebre.areas.pretraining.siamese`.
        check_s: seconds between checkpoints.

    Returns:
        The trained network.

    Raises:
        UserError: settings or sections that cannot work.
    """
    stack.drawn()
    if settings.patch % 16 or settings.patch < 16 or settings.steps < 1:
        raise UserError(
            f"patch is {settings.patch} and steps {settings.steps}; wanted a multiple of 16, and "
            "at least one step."
        )
    empty = [stack.names[n] for n in known if not stack.labels[n].any()]
    if empty or not known:
        raise UserError(
            f"Nothing is drawn on section {', '.join(empty) or '(none given)'}; wanted annotated "
            "sections to learn from."
        )
    classes = len(stack.areas) + 1
    maker = SampleMaker(
        stack, known, neighbors, settings.patch, settings.prior, settings.augmentation
    )

    weights = class_weights(stack.labels[list(known)], classes)

    def build() -> keras.Model:
        model = build_area_network(
            classes, settings.detail_widths, settings.context_widths, settings.patch
        )
        if start is not None and not copy_detail_encoder(start, model):
            raise UserError("The network to start from has no detail encoder like this one's.")
        return compiled(model, AreaCrossEntropy(weights), settings.learning_rate)

    facts = {
        **asdict(settings),
        "areas": list(stack.areas),
        "pixel_um": stack.pixel_um,
        "sections": [stack.names[n] for n in known],
        "pictures": [
            arrays_sha256(stack.images[n]) for n in known
        ],  # other stacks have such names too
        "start": "none" if start is None else start.name,
        # A run goes on, or counts as done, for the same drawings and priors alone.
        "learned_from": arrays_sha256(stack.images[list(known)], stack.labels[list(known)]),
        "registration": None if neighbors is None else neighbors.alignment.method,
        "start_sha256": None if start is None else arrays_sha256(*start.get_weights()),
    }
    model = run_training(
        out,
        facts,
        build,
        lambda step: maker.batches(settings.batch, settings.seed, step),
        check_s=check_s,
    )
    network = network_of(facts)
    network.models[0].set_weights(model.get_weights())
    return network
