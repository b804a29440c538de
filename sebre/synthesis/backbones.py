"""Backbones of Mask R-CNN that learned from synthetic sections: where a training may start.

The paper starts from the weights of COCO, which know photos. Here the same layers, with the same
names, learn to say the class of each pixel of the endless stream (`sebre.synthesis.learn --network
resnet50`), behind a small head that is thrown away:

    python -m sebre.synthesis.backbones --run DIR --out resnet50_sections.h5
    sebre train ibsr --weights resnet50_sections.h5 ...

With `--store weights` it ships in 8 bits under the name of the file, with card and manifest entry.
"""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.io.own_files import replace_own, replace_own_text
from mrcnn.modeling.backbone import resnet_graph
from mrcnn.modeling.layers import LayerStyle
from mrcnn.weights.loading import save_weights
from sebre.networks.weights_store import BACKBONE as BACKBONE_KIND
from sebre.networks.weights_store import write_entry
from sebre.program import run_module
from sebre.synthesis.classes import LICENSE, NUM_CLASSES
from sebre.synthesis.zeroshot import VARIANTS

logger = logging.getLogger(__name__)

BACKBONES = ("resnet18", "resnet50", "resnet101")
BACKBONE = "backbone"  # name of the nested model
_HEAD = 96  # filters of the head
_BN_MOMENTUM = 0.98  # statistics of about 50 steps, not of 100: the stream gets harder


def build_backbone(
    architecture: str, size: int, width: float = 1.0, precision: str = "float32"
) -> keras.Model:
    """A backbone with a head that says the class of each pixel.

    The head is a feature pyramid of one level: C5, C4 and C3 are narrowed, enlarged and added to C2
    (Lin et al. 2017), and one convolution follows.

    Args:
        architecture: one of BACKBONES.
        size: side of the pictures, px; a multiple of 64.
        width: multiplies all filters of the backbone.
        precision: of the computation: "float32" or "bfloat16".

    Returns:
        Pictures float32 [B, size, size, 1], 0..1 -> logits float32 [B, size / 4, size / 4,
        classes].

    Raises:
        UserError: no such architecture.
    """
    style = LayerStyle(
        train_bn=None, bn_momentum=_BN_MOMENTUM, precision=precision, initialization="he"
    )
    image = keras.Input((size, size, 3), name="molded_image")
    maps = resnet_graph(image, architecture, stage5=True, width=width, style=style)[1:]
    backbone = keras.Model(image, maps, name=BACKBONE)
    picture = keras.Input((size, size, 1), name="picture")
    x = keras.layers.Concatenate(name="rgb")([picture] * 3)
    # As `mrcnn.data.molding` gives pictures of 8 bits to the network.
    offset = [-float(value) for value in np.asarray(Config.MEAN_PIXEL)]
    maps = backbone(keras.layers.Rescaling(255.0, offset, name="molded")(x))
    x = None
    for level in (3, 2, 1, 0):
        own = keras.layers.Conv2D(_HEAD, 1, name=f"head_c{level + 2}")(maps[level])
        if x is not None:
            up = keras.layers.UpSampling2D(interpolation="bilinear", name=f"head_rise{level + 2}")
            own = keras.layers.Add(name=f"head_add{level + 2}")([own, up(x)])
        x = own
    x = keras.layers.Conv2D(_HEAD, 3, padding="same", activation="relu", name="head_conv")(x)
    logits = keras.layers.Conv2D(NUM_CLASSES, 1, dtype="float32", name="logits")(x)
    return keras.Model(picture, logits, name=f"sections_{architecture}")


def export_backbone(run: Path, out: Path, dtype: str = "float32") -> None:
    """Write the backbone of a training in Matterport's layout, its head left out.

    Args:
        run: folder that `sebre.synthesis.learn` wrote to.
        out: ".h5" file; `MaskRCNN.load_weights(out, by_name=True)` reads it.
        dtype: "float32", "float16" or "int8", of the file.

    Raises:
        ValueError: the training was of another network.
    """
    # The loss is a class of the package, and is not needed here.
    model = keras.models.load_model(run / "last.keras", compile=False)
    if BACKBONE not in (layer.name for layer in model.layers):
        raise ValueError(
            f"{run / 'last.keras'} is a {model.name}, without a backbone of Mask R-CNN; train "
            f"one with --network {' or '.join(BACKBONES)}."
        )
    save_weights(model.get_layer(BACKBONE), out, dtype)
    logger.info("%s: the backbone of %s", out, model.name)


def ship_backbone(run: Path, name: str, store: Path, scores: Mapping[str, float]) -> dict[str, Any]:
    """Write a backbone to a store, in 8 bits, with card, log and manifest entry.

    Args:
        run: folder that `sebre.synthesis.learn` wrote to.
        name: in the manifest.
        store: folder of the manifest.
        scores: mean Dice of the network with its head on real sections, by source.

    Returns:
        The manifest entry.
    """
    settings = json.loads((run / "settings.json").read_text("utf-8"))
    seen = json.loads((run / "state.json").read_text("utf-8"))["sections"]
    replace_own(store / f"{name}.h5", lambda part: export_backbone(run, part, "int8"))
    text = json.dumps({**settings, "sections_seen": seen}, indent=1) + "\n"
    replace_own_text(store / f"{name}.training.json", text)
    replace_own_text(store / f"{name}.log.csv", (run / "log.csv").read_text("utf-8"))
    options = {
        **{"network": settings["network"], "size": settings["size"]},
        **{"batch-size": settings["batch_size"], "sections": settings["sections"]},
        **{"learning-rate": settings["learning_rate"], "precision": settings["precision"]},
        **{"seed": settings["seed"], "held-out": " ".join(settings["held_out"])},
    }
    words = " ".join(f"--{key} {value}" for key, value in options.items())
    command = f"python -m sebre.synthesis.learn --data DATA --out RUN {words}"
    facts = {
        **{"file": f"{name}.h5", "url": "", "network": BACKBONE_KIND, "experiment": None},
        **{"regions": [], "species": "mouse", "plane": "any", "stain": "any", "age": "P4 to adult"},
        **{"pixel_um": None, "variant": "", "dataset": "synthetic", "licence": LICENSE},
        "command": command,
    }
    entry = write_entry(name, store, **facts)
    rows = "\n".join(f"| {source} | {dice:.3f} |" for source, dice in scores.items())
    card = files("sebre.synthesis").joinpath("backbone_card.md").read_text(encoding="utf-8")
    text = card.format(
        **{key: entry[key] for key in ("file", "sha256", "command", "licence")},
        **{"name": name, "architecture": settings["network"], "size": settings["size"]},
        **{"megabytes": entry["bytes"] / 1e6, "sections": seen, "scores": rows},
    )
    replace_own_text(store / f"{name}.md", text)
    return entry


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write, .h5")
    parser.add_argument("--dtype", default="float32", help="float32, float16 or int8, of the file")
    parser.add_argument("--store", type=Path, help="folder of a manifest, to ship it there")
    parser.add_argument("--scores", type=Path, help="of `sebre.synthesis.zeroshot`, for the card")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.store is None:
        export_backbone(args.run, args.out, args.dtype)
        return
    scores = json.loads(args.scores.read_text("utf-8")) if args.scores else {}
    ship_backbone(args.run, args.out.stem, args.store, scores.get(VARIANTS[0], {}))


if __name__ == "__main__":
    run_module(main)
