"""nnU-Net in two dimensions, by its own package: the bar that careful training sets today.

Source: Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 2021; the package nnunetv2, which needs PyTorch (extra `rivals`).

Size: as it plans by the training sections: 20.6 million weights for sections of human MRI.

What differs here: fewer steps than its 250,000 (`--steps`); one network, where the package
recommends five; no mirroring, neither in training nor in prediction, where left and right are
regions of their own. Network, patch, normalization, augmentation, loss and optimizer are nnU-Net's,
so pictures and schedule are not those of the other networks, as they are for the rivals beside it.
"""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.imageio.reduced import ReducedPicture, as_picture
from mrcnn.structures.mask_formats import demand_format
from mrcnn.structures.resampling import resize
from sebre.data.regions import RegionSet
from sebre.experiments.base import Experiment
from sebre.networks.rivals.nnunet_program import CONFIGURATION
from sebre.networks.unet import labeled_shape, most_probable, result_of_labels, settings_class
from sebre.networks.weights_store import WeightsFile

_NO_SPACING = {"spacing": (999, 1, 1)}  # what nnU-Net gives pictures, whose pixel it does not know
_OTHER_SIZE = 1.5  # times the usual side of the training sections, or that part of it


class NnUNetSettings:
    """Settings of nnU-Net; of those of an experiment's small variant it takes USED alone."""

    NNUNET_BATCH = 0  # sections a step; 0 as nnU-Net plans it


# What may be set for its training, and where it is applied.
USED = ("NNUNET_BATCH", "PRECISION", "STEPS_PER_EPOCH", "CONTRAST", "ONLY_ON_TISSUE")
APPLIED = ("PRECISION", "CONTRAST", "ONLY_ON_TISSUE", "REDUCED_DECODE", "RUNTIME")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class NnUNet:
    """The kind of network; see `sebre.networks.unet.PixelKind`."""

    name: str = "nnunet"

    def config(self, experiment: Experiment) -> type[Config]:
        """The class of settings for an experiment."""
        return settings_class(NnUNetSettings, experiment)

    def load(
        self,
        found: WeightsFile,
        config: Config,
        regions: RegionSet,
        order: Sequence[int] | None = None,
    ) -> "NnUNetSegmenter":
        """Build the network of a file of `sebre.networks.rivals.nnunet_train`, and load it.

        Arguments are those of `PixelKind.load`.

        Raises:
            UserError: nnU-Net is not installed, or the file is not one of it.
        """
        demand_precision(config)
        return NnUNetSegmenter(*_loaded(found.path), config, regions, found, order)


NNUNET = NnUNet()


class NnUNetSegmenter:
    """An nnU-Net ready to segment sections: a `sebre.networks.segmenter.Segmenter`.

    Args:
        predictor: of the package nnunetv2.
        usual_side: of the training sections, px.
        config: of `NnUNet.config`.
        regions: that it finds.
        weights: its file.
        order: for every class id, from the background on, that of the file; None for the same.
    """

    network: ClassVar[str] = "nnU-Net"

    def __init__(
        self,
        predictor: Any,
        usual_side: float,
        config: Config,
        regions: RegionSet,
        weights: WeightsFile,
        order: Sequence[int] | None = None,
    ):
        self._predictor, self._usual_side, self._order = predictor, usual_side, order
        self.config, self.regions, self.weights = config, regions, weights

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return sum(value.numel() for value in self._predictor.network.parameters())

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """Segment sections of any size, as `sebre.networks.unet.UNetSegmenter.detect` does."""
        demand_format(masks)
        return [self._detect(image, masks) for image in images]

    def _detect(self, image: Any, form: str) -> dict[str, Any]:
        found = self._probabilities(self._seen(image))
        labels, probability = most_probable(found, labeled_shape(image.shape))
        return result_of_labels(labels, probability, image.shape, found.shape[-1], form, speck=0.0)

    def _seen(self, image: Any) -> np.ndarray:
        """The picture as it is; where it is far larger or smaller than the training sections, which
        nnU-Net does not notice without a pixel size, at their usual size."""
        factor = self._usual_side / max(image.shape[:2])
        if 1 / _OTHER_SIZE <= factor <= _OTHER_SIZE:
            factor = 1.0
        small = tuple(max(1, round(side * factor)) for side in image.shape[:2])
        picture = as_picture(image)
        if isinstance(picture, ReducedPicture):
            return picture.resized(small)
        if factor == 1.0:
            return picture
        return resize(picture, small, preserve_range=True).astype(picture.dtype)

    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        """Of each class at each pixel of a section uint8 [H, W, 3]: float32 [H, W, classes]."""
        import torch

        planes = np.moveaxis(image, -1, 0)[:, None].astype(np.float32)
        mixed = self.config.PRECISION == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            _, found = self._predictor.predict_single_npy_array(
                planes, dict(_NO_SPACING), None, None, True
            )
        found = np.moveaxis(np.asarray(found, np.float32)[:, 0], 0, -1)
        return found if self._order is None else found[..., list(self._order)]


def demand_precision(config: Config) -> None:
    """Raise a UserError for a precision that nnU-Net does not compute in here."""
    if config.PRECISION not in PRECISIONS:
        raise UserError(
            f"PRECISION is {config.PRECISION}; nnU-Net computes in {' or '.join(PRECISIONS)}."
        )


def demand_package() -> None:
    """Raise a UserError unless nnU-Net is installed."""
    try:
        import nnunetv2  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "nnU-Net is a package of its own, which is not installed here, and needs PyTorch: "
            "pip install 'sebre[rivals]'."
        ) from None


def _loaded(path: Path) -> tuple[Any, float]:
    """The predictor of the package for a file of `sebre.networks.rivals.nnunet_program`, and the
    usual side of its training sections."""
    demand_package()
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        plans, described = json.loads(stored["plans"]), json.loads(stored["dataset"])
        weights, mirrored, side = stored["weights"], stored["mirrored"], stored["usual_side"]
        network = _network(weights, plans, described)
    except Exception as error:  # torch.load documents no errors of its own
        raise UserError(
            f"{path}: not the weights of an nnU-Net that `sebre train` wrote ({error})."
        ) from error
    manager = PlansManager(plans)
    planned = manager.get_configuration(CONFIGURATION)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that a CPU is no GPU
        predictor = nnUNetPredictor(
            use_mirroring=mirrored is not None, device=device, verbose=False, allow_tqdm=False
        )
    network.to(device).eval()
    predictor.manual_initialization(
        network, manager, planned, [weights], described, "nnUNetTrainer", mirrored
    )
    return predictor, side


def _network(
    weights: Mapping[str, Any], plans: Mapping[str, Any], described: Mapping[str, Any]
) -> Any:
    """The network that was planned, with its weights."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    planned = manager.get_configuration(CONFIGURATION)
    network = get_network_from_plans(
        planned.network_arch_class_name,
        planned.network_arch_init_kwargs,
        planned.network_arch_init_kwargs_req_import,
        len(described["channel_names"]),
        manager.get_label_manager(described).num_segmentation_heads,
        allow_init=False,
        deep_supervision=False,
    )
    network.load_state_dict(weights)
    return network
