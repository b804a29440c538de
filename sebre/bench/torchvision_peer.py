"""torchvision's Mask R-CNN on given work, in a process of its own.

`sebre.bench.peer` starts this file by its path, with an interpreter that has torchvision. It
imports nothing of this project, and PyTorch only where it computes: next to the threads of
TensorFlow, in one process, PyTorch is ten times slower.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

SLACK = 4  # anchors: levels share them equally, so up to one for each but one level stays over


def serve() -> None:
    """Obey orders on the standard input, a JSON object a line, until it closes.

    {"prepare": work} is answered by facts and gets the next number, from 0; {"run": number} does
    that work once and is answered when it is done. An answer is a line too: {"ok": facts}, or
    {"error": text}.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print
    runs: list[Callable[[], object]] = []
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "run" in order:
                runs[order["run"]]()
                answer = {"ok": {}}
            else:
                run, facts = prepare(order["prepare"])
                runs.append(run)
                answer = {"ok": facts}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def prepare(work: Mapping[str, Any]) -> tuple[Callable[[], object], dict[str, Any]]:
    """Build the network, and do the work once.

    Args:
        work: of `sebre.bench.peer.work_of`.

    Returns:
        Does it again; and facts: what was done, GFLOP of it, versions, threads.

    Raises:
        RuntimeError: what was done is not what was asked for.
    """
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(work["seed"])
    network = _network(work)
    low = work["precision"] == "bfloat16"
    lowered = partial(torch.autocast, "cpu", torch.bfloat16, enabled=low)
    run = (_step if work["training"] else _detection)(network, work, lowered)
    with _counted(network) as done, FlopCounterMode(display=False) as counter:
        start = time.perf_counter()
        run()
        first = time.perf_counter() - start
    _demand_same(work, done)
    return run, {
        "done": done,
        "gflop": counter.get_total_flops() / 1e9,
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "first_call_s": first,
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
    }


def _network(work: Mapping[str, Any]) -> Any:
    """A Mask R-CNN of random weights whose amount of work does not depend on them."""
    from torch import nn
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.ops.misc import Conv2dNormActivation

    height, width = work["canvas_px"]
    backbone = resnet_fpn_backbone(backbone_name=work["backbone"], weights=None, trainable_layers=5)
    ratios = tuple(work["anchor_ratios"])
    head = RPNHead(work["rpn_channels"], len(ratios))
    channels = backbone.out_channels, work["rpn_channels"]
    head.conv = nn.Sequential(Conv2dNormActivation(*channels, kernel_size=3, norm_layer=None))
    per_level = anchors_per_level((height, width), len(ratios), work["anchors"])
    network = MaskRCNN(
        backbone,
        work["classes"],
        min_size=min(height, width),
        max_size=max(height, width),
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in work["anchor_px"]), (ratios,) * len(work["anchor_px"])
        ),
        rpn_head=head,
        rpn_pre_nms_top_n_train=per_level,
        rpn_pre_nms_top_n_test=per_level,
        rpn_post_nms_top_n_train=work["proposals"],
        rpn_post_nms_top_n_test=work["proposals"],
        rpn_nms_thresh=work["rpn_nms"],
        rpn_batch_size_per_image=work["rpn_samples"],
        box_batch_size_per_image=work["rois"],
        # Half of one more, lest a rounding makes it one less.
        box_positive_fraction=min(1.0, (work["masks"] + 0.5) / work["rois"]),
        box_nms_thresh=work["nms"],
        box_detections_per_img=work["masks"],
    )
    predictor = network.roi_heads.box_predictor
    # Boxes stay where they are, so none leaves the picture; and each proposal is a candidate
    # for one detection, of class 1, and no other.
    for layer in (head.bbox_pred, predictor.bbox_pred, predictor.cls_score):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    predictor.cls_score.bias.data[1] = 10.0
    return network


def anchors_per_level(canvas_px: Sequence[int], ratios: int, total: int) -> int:
    """Anchors to take from each level, where there are so many, for about so many in total.

    torchvision limits each of the five levels, Matterport's network all together.
    """
    levels = [
        ratios * -(-canvas_px[0] // stride) * -(-canvas_px[1] // stride)
        for stride in (4, 8, 16, 32, 64)
    ]
    taken = range(1, max(levels) + 1)
    return max(n for n in taken if n == 1 or sum(min(n, level) for level in levels) <= total)


def _pictures(work: Mapping[str, Any]) -> list[Any]:
    """Sections uint8 [H, W, 3] of noise; no time depends on what they show."""
    import numpy as np

    generator = np.random.default_rng(work["seed"])
    shape = (*work["image_px"], 3)
    return [generator.integers(0, 256, shape, np.uint8) for _ in range(work["batch"])]


def _molded(work: Mapping[str, Any], pictures: Sequence[Any]) -> list[Any]:
    """Sections as torchvision takes them, with padding to the canvas: float32 [3, H, W], 0..1."""
    import torch

    molded = []
    for picture in pictures:
        canvas = torch.zeros((3, *work["canvas_px"]))
        height, width = picture.shape[:2]
        canvas[:, :height, :width] = torch.from_numpy(picture).permute(2, 0, 1) / 255
        molded.append(canvas)
    return molded


def _detection(
    network: Any, work: Mapping[str, Any], lowered: Callable[[], Any]
) -> Callable[[], object]:
    """From pictures to boxes, classes, scores, and masks bool [H, W, n] of the pictures' size."""
    import torch

    network.eval()
    pictures = _pictures(work)
    height, width = work["image_px"]

    @torch.inference_mode()
    def detect() -> object:
        with lowered():
            found = network(_molded(work, pictures))
        masks = [result["masks"][:, 0, :height, :width] > 0.5 for result in found]
        numbers = [[r[key].float().numpy() for key in ("boxes", "labels", "scores")] for r in found]
        return numbers, [mask.permute(1, 2, 0).numpy() for mask in masks]

    return detect


def _step(
    network: Any, work: Mapping[str, Any], lowered: Callable[[], Any]
) -> Callable[[], object]:
    """One step of SGD on one batch, repeated, with rate 0, as the step of ours."""
    import torch

    network.train()
    pictures = _molded(work, _pictures(work))
    height, width = work["image_px"]
    # As many objects as ROIs shall be positive: each is a proposal of itself.
    side = min(height, width) // 3
    box = torch.tensor([[side, side, 2 * side, 2 * side]], dtype=torch.float32)
    moved = torch.linspace(-side / 2, side / 2, work["masks"])[:, None]
    boxes = box + moved
    masks = torch.zeros((work["masks"], *work["canvas_px"]), dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.ones(work["masks"], dtype=torch.int64)
    targets = [{"boxes": boxes, "labels": labels, "masks": masks}] * work["batch"]
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        learned, lr=0.0, momentum=work["momentum"], weight_decay=work["weight_decay"]
    )

    def step() -> object:
        optimizer.zero_grad()
        with lowered():
            loss = sum(network(pictures, targets).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, work["clip_norm"])
        optimizer.step()
        return loss.item()

    return step


@contextmanager
def _counted(network: Any) -> Iterator[dict[str, Any]]:
    """What is done while the context lasts: anchors and, in detection, candidates that go into
    non-maximum suppression, image by image, and rows of the heads for boxes and masks."""
    from unittest import mock

    from torchvision.ops import boxes

    done: dict[str, Any] = {"suppressed": [], "rois": 0, "masks": 0}
    suppress = boxes.batched_nms

    def counting(given: Any, *others: Any) -> Any:
        done["suppressed"].append(len(given))
        return suppress(given, *others)

    def rows(name: str) -> Callable[[Any, Any], None]:
        def count(module: Any, inputs: Any) -> None:
            done[name] += len(inputs[0])

        return count

    heads = {"rois": network.roi_heads.box_head, "masks": network.roi_heads.mask_head}
    hooks = [head.register_forward_pre_hook(rows(name)) for name, head in heads.items()]
    try:
        with mock.patch.object(boxes, "batched_nms", counting):
            yield done
    finally:
        for hook in hooks:
            hook.remove()


def _demand_same(work: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless what was done is the work."""
    batch, training = work["batch"], work["training"]
    rows = work["rois"] if training else work["proposals"]
    candidates = [] if training else [work["proposals"]] * batch
    anchors, others = done["suppressed"][:batch], done["suppressed"][batch:]
    same = (
        all(0 <= work["anchors"] - count <= SLACK for count in anchors)
        and others == candidates
        and (done["rois"], done["masks"]) == (batch * rows, batch * work["masks"])
    )
    if not same:
        raise RuntimeError(f"torchvision did other work, {dict(done)}, than was asked: {work}")
