"""Which layer of a model takes which arrays of a weights file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from mrcnn.errors import UserError
from mrcnn.weights.hdf5 import StoredArray, StoredLayer, WeightFileError

# Leave these out to load a file made for another number of classes. mrcnn_bbox has
# no weights; scripts list it all the same.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")

# Order of the groups in a file: a contract, whatever order the graph gives.
_STEM = ("conv1", "bn_conv1")
BLOCK = re.compile(r"(res|bn)([2-5])([a-z]+)_branch(2a|2b|2c|1)")
_BRANCHES = ("res2a", "bn2a", "res2b", "bn2b", "res2c", "res1", "bn2c", "bn1")
_TAIL = (
    *("fpn_c5p5", "fpn_c4p4", "fpn_c3p3", "fpn_c2p2", "fpn_p5", "fpn_p2", "fpn_p3", "fpn_p4"),
    *("rpn_model", "rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"),
    *("mrcnn_class_conv1", "mrcnn_class_bn1", "mrcnn_class_conv2", "mrcnn_class_bn2"),
    *("mrcnn_class_logits", "mrcnn_bbox_fc"),
    *(f"mrcnn_mask_{kind}{i}" for i in range(1, 5) for kind in ("conv", "bn")),
    *("mrcnn_mask_deconv", "mrcnn_mask"),
)


@dataclass(frozen=True)
class Slot:
    """A layer with weights of the model; `top` is the outer layer that it lies in."""

    top: str
    name: str
    variables: list


def slots_of(model: keras.Model) -> list[Slot]:
    """Layers with weights in file order; layers of unknown names come first, as they lie."""
    slots = []
    for layer in sorted(model.layers, key=lambda item: _order(item.name)):
        for leaf in sorted(_leaves(layer), key=lambda item: _order(item.name)):
            slots.append(Slot(layer.name, leaf.name, list(leaf.weights)))
    names = [slot.name for slot in slots]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UserError(f"The model has several layers named {listed(twice)}; rename them.")
    return slots


def _leaves(layer: keras.Layer) -> Iterator[keras.Layer]:
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _leaves(inner)
    elif layer.weights:
        yield layer


def _order(name: str) -> tuple:
    if name in _STEM:
        return (1, _STEM.index(name))
    if block := BLOCK.fullmatch(name):
        kind, stage, letter, branch = block.groups()
        return (2, int(stage), len(letter), letter, _BRANCHES.index(kind + branch))
    if name in _TAIL:
        return (3, _TAIL.index(name))
    return (0,)


def units_of(
    layers: list[StoredLayer], slots: list[Slot], path: str | Path
) -> dict[str, list[StoredArray]]:
    """The arrays of the file by layer of the model, nested groups taken apart.

    The group of a nested model is split by the layer that each weight names; where those names are
    foreign, by position. A group that the model lacks may be a wrapper around layers it has.
    """
    names = {s.name for s in slots}
    units: dict[str, list[StoredArray]] = {}
    for layer in layers:
        inner = [s for s in slots if s.top == layer.name]
        parts: dict[str, list[StoredArray]] = {}
        if layer.name in names:
            parts = {layer.name: layer.arrays}
        else:
            for stored in layer.arrays:
                parts.setdefault(_owner(stored.name, layer.name, names), []).append(stored)
            if inner and not set(parts) <= {s.name for s in inner}:
                count = sum(len(s.variables) for s in inner)
                if len(layer.arrays) != count:
                    raise WeightFileError(
                        f"{path}: group {layer.name!r} has {len(layer.arrays)} weights, the model "
                        f"wants {count} there."
                    )
                rest = iter(layer.arrays)
                parts = {s.name: [next(rest) for _ in s.variables] for s in inner}
            elif not names & set(parts):
                parts = {layer.name: layer.arrays}
        for name, arrays in parts.items():
            if name in units:
                raise WeightFileError(f"{path}: the weights of {name!r} are stored twice.")
            units[name] = arrays
    return units


def _owner(weight: str, group: str, names: set[str]) -> str:
    """The layer in a weight name; Keras numbers it when a process builds a model twice."""
    owner = weight.split("/")[-2] if "/" in weight else group
    return owner if owner in names or base_name(owner) not in names else base_name(owner)


def base_name(name: str) -> str:
    """A layer name without the number that Keras appends to automatic names."""
    return re.sub(r"_\d+$", "", name)


def demand_shapes(
    pairs: list[tuple[Slot, list[StoredArray]]], adapt: bool, path: str | Path
) -> None:
    """Raise one error that names every layer of the model whose arrays have other shapes.

    `adapt` accepts RGB weights for a "conv1" with other input channels.
    """
    wrong = {}
    for slot, arrays in pairs:
        found = [tuple(stored.dataset.shape) for stored in arrays]
        wanted = [tuple(variable.shape) for variable in slot.variables]
        rgb = [wanted[0][:2] + (3,) + wanted[0][3:], *wanted[1:]]
        if found != wanted and not (adapt and slot.name == "conv1" and found == rgb):
            wrong[slot.name] = f"{slot.name} has {_shapes(found)}, the model {_shapes(wanted)}"
    if not wrong:
        return
    if set(wrong) <= set(CLASS_LAYERS):
        advice = (
            "Only the layers that depend on NUM_CLASSES differ: set NUM_CLASSES to that of the "
            f"file, or leave them out with exclude={list(CLASS_LAYERS)}."
        )
    else:
        advice = (
            "Build the model with the configuration of the file, or leave layers out with "
            "exclude=[...]."
        )
    raise WeightFileError(
        f"{path}: shapes differ in {len(wrong)} layers: {listed(list(wrong.values()), '; ')}. "
        + advice
    )


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """The first eight names, and how many more there are, for a message."""
    shown = separator.join(names[:8]) or "none"
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
