"""The stages without weights as ONNX operators: proposals, ROI crops, detections.

Each does what the layer of that name does, step by step, so that the numbers agree to
the last bits; shapes are static, except inside `suppress`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mrcnn.export.onnx_writer import GraphWriter, Value
from mrcnn.modeling.detection import DetectionLayer
from mrcnn.modeling.proposals import ProposalLayer
from mrcnn.modeling.roi_align import PyramidROIAlign
from mrcnn.structures.boxes import MAX_LOG_SIZE

_SAMPLES = {"legacy": 1, "aligned": 2}  # of RoiAlign, per bin and axis


@dataclass
class StageWriter:
    """Translates the stages of one fixed input shape."""

    graph: GraphWriter
    batch: int
    height: int  # of the molded images, px
    width: int
    level_shapes: Sequence[tuple[int, int]]  # (rows, columns) of P2..P5
    anchors: np.ndarray  # float32 [A, 4], normalized

    def __post_init__(self):
        self._atlases: dict[tuple, tuple[str, np.ndarray]] = {}

    # --- Boxes ---------------------------------------------------------------------

    def columns(self, boxes: str) -> tuple[str, ...]:
        """Boxes [..., 4] as four columns [..., 1]."""
        return self.graph.add("Split", boxes, outputs=4, axis=-1)

    def move(self, boxes: str, deltas: str) -> str:
        """`mrcnn.structures.boxes.apply_box_deltas`."""
        add, half = self.graph.add, self.graph.numbers(0.5)
        y1, x1, y2, x2 = self.columns(boxes)
        dy, dx, dh, dw = self.columns(deltas)
        lows, highs = [], []
        for low, high, shift, growth in ((y1, y2, dy, dh), (x1, x2, dx, dw)):
            size = add("Sub", high, low)
            center = add("Add", low, add("Mul", half, size))
            center = add("Add", center, add("Mul", shift, size))
            growth = add("Exp", add("Min", growth, self.graph.numbers(MAX_LOG_SIZE)))
            size = add("Mul", size, growth)
            lows.append(add("Sub", center, add("Mul", half, size)))
            highs.append(add("Add", lows[-1], size))
        return add("Concat", *lows, *highs, axis=-1)

    def clip(self, boxes: str, low: str, high: str) -> str:
        """Each side of boxes between two bounds."""
        return self.graph.add("Max", self.graph.add("Min", boxes, high), low)

    def suppress(
        self, boxes: str, scores: str, count: int, limit: int, iou: float, per_class: int
    ) -> tuple[str, str]:
        """Greedy non-maximum suppression of boxes that come best first.

        Args:
            boxes: [B, count, 4].
            scores: [B, classes, count], the rank (`ranks`) where a box takes part, else 0.
            count: of boxes.
            limit: boxes kept at most, of all classes together.
            iou: above it the worse box is dropped.
            per_class: boxes kept at most of a class.

        Returns:
            indices [B, limit], best first; 1.0 [B, limit] where used, else 0.0.
        """
        add, integers = self.graph.add, self.graph.integers
        limits = integers(per_class), self.graph.constant([iou]), self.graph.constant([0.0])
        # Rows (image, class, box), as many as there are.
        chosen = add("NonMaxSuppression", boxes, scores, *limits)
        chosen = add("Gather", chosen, integers(0, 2), axis=1)
        number = self.graph.slice(add("Shape", chosen), 0, 1, 0)
        ones = add("Expand", self.graph.constant([1.0]), number)
        none = self.graph.constant(np.zeros((self.batch, count)))
        kept = add("ScatterND", none, chosen, ones)
        kept = add("Mul", kept, self.ranks(count))
        first = min(limit, count)
        ranks, indices = add("TopK", kept, integers(first), outputs=2, axis=1)
        used = add("Min", ranks, self.graph.numbers(1.0))
        if first < limit:
            pads = integers(0, 0, 0, limit - first)
            used = add("Pad", used, pads)
            indices = add("Pad", indices, pads)
        return indices, used

    def ranks(self, count: int) -> str:
        """count, ..., 2, 1: stands for scores in falling order, without ties."""
        return self.graph.constant(np.arange(count, 0, -1))

    # --- Stages --------------------------------------------------------------------

    def proposals(self, layer: ProposalLayer, rpn_class: str, rpn_bbox: str) -> Value:
        """`ProposalLayer` on the anchors of this shape."""
        graph, add = self.graph, self.graph.add
        count = min(layer.pre_nms_limit, len(self.anchors))
        scores = add("Gather", rpn_class, graph.constant(1, "int64"), axis=2)
        _, best = add("TopK", scores, graph.integers(count), outputs=2, axis=1)
        deltas = add("Mul", graph.rows(rpn_bbox, best), graph.numbers(*layer.bbox_std_dev))
        anchors = add("Gather", graph.constant(self.anchors, hint="anchors"), best, axis=0)
        boxes = self.move(anchors, deltas)
        boxes = self.clip(boxes, graph.numbers(0, 0, 0, 0), graph.numbers(1, 1, 1, 1))
        ranks = graph.constant(np.tile(np.arange(count, 0, -1), (self.batch, 1, 1)))
        limit = layer.proposal_count
        indices, used = self.suppress(boxes, ranks, count, limit, layer.nms_threshold, limit)
        rows = graph.rows(boxes, indices)
        return Value(add("Mul", rows, graph.unsqueeze(used, -1)))

    def detections(
        self, layer: DetectionLayer, rois: str, probabilities: str, deltas: str, meta: str,
        number: int, classes: int,
    ) -> Value:  # fmt: skip
        """`DetectionLayer` on `number` ROIs."""
        graph, add, settings = self.graph, self.graph.add, layer.settings
        ids = add("ArgMax", probabilities, axis=-1, keepdims=0)
        scores = add("ReduceMax", probabilities, axes=[-1], keepdims=0)
        chosen = graph.rows(deltas, ids, batch_dims=2)
        boxes = self.move(rois, add("Mul", chosen, graph.numbers(*settings["bbox_std_dev"])))
        window = add("Sub", graph.slice(meta, 7, 11, 1), graph.numbers(0, 0, 1, 1))
        sides = np.float32([self.height, self.width] * 2) - 1
        window = graph.unsqueeze(add("Div", window, graph.constant(sides)), 1)
        low = add("Gather", window, graph.integers(0, 1, 0, 1), axis=2)
        high = add("Gather", window, graph.integers(2, 3, 2, 3), axis=2)
        boxes = self.clip(boxes, low, high)

        keep = add("Greater", ids, graph.constant(0, "int64"))
        if settings["min_confidence"]:
            least = graph.numbers(settings["min_confidence"])
            keep = add("And", keep, add("GreaterOrEqual", scores, least))
        scores = add("Where", keep, scores, graph.numbers(-1.0))
        scores, order = add("TopK", scores, graph.integers(number), outputs=2, axis=1)
        boxes = graph.rows(boxes, order)
        ids = add("GatherElements", ids, order, axis=1)
        valid = add("GreaterOrEqual", scores, graph.numbers(0.0))
        each = graph.constant(np.arange(1, classes).reshape(1, -1, 1), "int64")
        of_class = add("Equal", graph.unsqueeze(ids, 1), each)
        takes_part = add("And", of_class, graph.unsqueeze(valid, 1))
        ranks = add("Mul", add("Cast", takes_part, to=1), self.ranks(number))
        limit, iou = settings["max_instances"], settings["nms_threshold"]
        per_class = 1 if settings["best_per_class"] else limit
        indices, used = self.suppress(boxes, ranks, number, limit, iou, per_class)
        labels = graph.unsqueeze(add("Cast", ids, to=1), -1)
        rows = add("Concat", boxes, labels, graph.unsqueeze(scores, -1), axis=-1)
        rows = graph.rows(rows, indices)
        return Value(add("Mul", rows, graph.unsqueeze(used, -1)))

    def crops(self, layer: PyramidROIAlign, boxes: str, maps: Sequence[str], number: int) -> Value:
        """`PyramidROIAlign` of `number` boxes per image.

        All levels lie side by side in one picture, the atlas, so that one ROIAlign reads each
        box from its level.
        """
        graph, add = self.graph, self.graph.add
        samples, (rows, columns) = _SAMPLES[layer.mode], layer.pool_shape
        atlas, places = self._atlas(tuple(maps), margin=samples - 1)
        flat = graph.reshape(boxes, (-1, 4))
        y1, x1, y2, x2 = self.columns(flat)
        area = add("Mul", add("Sub", y2, y1), add("Sub", x2, x1))
        side = add("Sqrt", add("Max", area, graph.numbers(1e-20)))
        scale = 224.0 / math.sqrt(self.height * self.width)
        level = add("Log", add("Div", side, graph.numbers(scale)))
        level = add("Round", add("Div", level, graph.numbers(math.log(2.0))))
        level = add("Clip", level, graph.numbers(-2.0), graph.numbers(1.0))
        level = add("Cast", add("Add", level, graph.numbers(2.0)), to=7)  # 0..3 for P2..P5
        table = graph.constant(np.hstack([places, self.level_shapes]))
        facts = add("GatherND", table, level)
        top, left, height, width = self.columns(facts)

        lows, highs, inside = [], [], None
        lines = (
            (y1, y2, top, height, rows, self.height),
            (x1, x2, left, width, columns, self.width),
        )
        for axis, (low, high, start, cells, bins, px) in enumerate(lines):
            if layer.mode == "legacy":
                last = add("Sub", cells, graph.numbers(1.0))
                step = add("Mul", add("Sub", high, low), last)
                step = add("Div", step, graph.numbers(bins - 1.0))
                first = add("Mul", low, last)
                at = add("Add", first, add("Mul", graph.constant(np.arange(bins)), step))
                seen = add("Cast", add("LessOrEqual", at, last), to=1)
                seen = graph.unsqueeze(graph.unsqueeze(seen, 1), 2 if axis else 3)
                inside = add("Mul", inside, seen) if inside else seen
                # Bins whose middles are the samples.
                first = add("Sub", first, add("Mul", graph.numbers(0.5), step))
                size = add("Mul", graph.numbers(float(bins)), step)
                first = add("Add", first, graph.numbers(0.5))
            else:
                ratio = add("Div", cells, graph.numbers(float(px)))
                first = add("Mul", add("Mul", low, graph.numbers(px - 1.0)), ratio)
                end = add("Add", add("Mul", high, graph.numbers(px - 1.0)), graph.numbers(1.0))
                size = add("Sub", add("Mul", end, ratio), first)
            first = add("Add", first, start)
            lows.append(first)
            highs.append(add("Add", first, size))
        corners = add("Concat", lows[1], lows[0], highs[1], highs[0], axis=-1)
        images = np.repeat(np.arange(self.batch), number)
        out = add(
            "RoiAlign",
            atlas,
            corners,
            graph.constant(images, "int64"),
            coordinate_transformation_mode="half_pixel",
            mode="avg",
            output_height=rows,
            output_width=columns,
            sampling_ratio=samples,
            spatial_scale=1.0,
        )
        if inside:  # samples beyond the border by the last bit count as outside
            out = add("Mul", out, inside)
        return Value(out, "rois")

    def _atlas(self, maps: tuple[str, ...], margin: int) -> tuple[str, np.ndarray]:
        """P2, and P3..P5 one below the other at its right, [B, C, rows, columns]; and the
        place (row, column) of each. A margin repeats the border of each level."""
        key = (maps, margin)
        if key not in self._atlases:
            graph = self.graph
            shapes = np.array(self.level_shapes) + 2 * margin
            right, rows = shapes[1:, 1].max(), max(shapes[0, 0], shapes[1:, 0].sum())
            parts = []
            for name, (_, columns) in zip(maps, shapes, strict=True):
                if margin:
                    pads = graph.integers(0, 0, margin, margin, 0, 0, margin, margin)
                    name = graph.add("Pad", name, pads, mode="edge")
                spare = int(right - columns) if parts else 0
                parts.append(self._fill(name, 0, spare))
            parts[0] = self._fill(parts[0], rows - shapes[0, 0], 0)
            column = graph.add("Concat", *parts[1:], axis=2)
            column = self._fill(column, rows - shapes[1:, 0].sum(), 0)
            atlas = graph.add("Concat", parts[0], column, axis=3)
            tops = np.concatenate([[0, 0], np.cumsum(shapes[1:-1, 0])])
            lefts = np.array([0, *[shapes[0, 1]] * (len(maps) - 1)])
            self._atlases[key] = atlas, np.stack([tops, lefts], 1) + margin
        return self._atlases[key]

    def _fill(self, name: str, rows: int, columns: int) -> str:
        if not rows and not columns:
            return name
        pads = self.graph.integers(0, 0, 0, 0, 0, 0, int(rows), int(columns))
        return self.graph.add("Pad", name, pads)
