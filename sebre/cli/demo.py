"""`sebre demo`: shipped networks on the test sections of datasets/slicemap, and on real sections of
other planes and stains.

Prints a table, and writes overlays, label maps, tables and contact sheets.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mrcnn.io.own_files import demand_own, replace_own
from sebre.data.regions import ANY_SECTION
from sebre.drawing.contact_sheet import save_sheet
from sebre.drawing.overlay import overlay
from sebre.evaluation.evaluate import evaluate_sections, save_json
from sebre.evaluation.section import sheet_row
from sebre.evaluation.summary import dices_by_region, summarize
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import best_labels, load_segmenter
from sebre.networks.weights_store import known_networks
from sebre.predict.measures import region_rows
from sebre.predict.name_claims import claim, forget, stamp
from sebre.predict.outputs import output_paths
from sebre.predict.overview import PAGE, SUMMARY, about
from sebre.predict.prediction import Prediction, predict_picture
from sebre.predict.section_records import TABLE, write_record, write_table_of_all
from sebre.program import say

_SCORES, _SHEET = "scores.json", "contact_sheet.png"
_ANY_SHEET = "any_section.png"
# Folder of the real sections, beside that of the test sections; and one of these, sagittal.
_REAL, _SAGITTAL = "any_section/images", 4


def run(weights: str, root: Path, out: Path) -> None:
    """Segment, score, print and draw the "val" part of the prepared data set `root`."""
    start = time.perf_counter()
    out = out.absolute()
    dataset = EXPERIMENTS["slicemap"].load(root, "val")
    pictures = [Path(dataset.image_info[i]["path"]).absolute() for i in dataset.image_ids]
    names = [dataset.image_reference(i).replace("/", "_") for i in dataset.image_ids]
    files = [path for name in names for path in output_paths(name, out)]
    files += [out / name for name in (TABLE, PAGE, SUMMARY, _SCORES, _SHEET, _ANY_SHEET)]
    demand_own(files, pictures)
    segmenter = load_segmenter(weights, EXPERIMENTS["slicemap"])
    regions = segmenter.regions
    say(f"Segmenting the {dataset.num_images} test sections of {_short(root)}")
    lying = evaluate_sections(segmenter, dataset)
    turned = evaluate_sections(segmenter, dataset, turned=True)

    for section, name, picture in zip(lying, names, pictures, strict=True):
        name, seen = claim(out, name, picture), stamp(picture)
        forget(out, name)
        labels = best_labels(section.result, section.image.shape)
        rows = region_rows(name, section.result, regions, labels)
        found = Prediction(name, section.image, labels, rows, regions, picture.name, path=picture)
        found.save(out)
        write_record(out, name, seen, rows, about=about(found))
    write_table_of_all(out)
    scores = {"as_they_lie": summarize(lying, regions), "turned": summarize(turned, regions)}
    stored = {key: summary.to_json() for key, summary in scores.items()}
    save_json({"weights_sha256": segmenter.weights.sha256, **stored}, out / _SCORES)
    sheet = [sheet_row(section, regions) for section in lying]
    save_sheet(sheet, ("drawn", "found"), regions, out / _SHEET, write=replace_own)

    _print_table(lying, scores, regions)
    say()
    real = sorted((root.parent / _REAL).glob("*.jpg"))
    if real and ANY_SECTION.name in known_networks():
        _segment_any([pictures[_SAGITTAL], *real], out)
    say(f"Contact sheet            {_short(out / _SHEET)}")
    say(f"Overlays and label maps  {_short(out)}/val_*_overlay.png, val_*_labels.png")
    say(f"Tables                   {_short(out / TABLE)}, {_short(out / _SCORES)}")
    say(f"To look at in a browser  {_short(out / PAGE)}")
    say(f"{time.perf_counter() - start:.0f} s")


def _segment_any(pictures: Sequence[Path], out: Path) -> None:
    """Regions of real sections of any plane and stain, by a network that saw none like them."""
    network = load_segmenter(ANY_SECTION.name)
    sheet = []
    for picture in pictures:
        found = predict_picture(network, picture)
        name = picture.stem.replace("section_img_", "slicemap ")
        shown = [overlay(found.pixels, labels, ANY_SECTION) for labels in _empty_and(found)]
        sheet.append((name, shown))
    write = partial(save_sheet, across=3, write=replace_own)
    write(sheet, ("found",), ANY_SECTION, out / _ANY_SHEET)
    say(f"Real sections of any plane {_short(out / _ANY_SHEET)}, by {ANY_SECTION.name}")


def _empty_and(found: Prediction) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros_like(found.label_map), found.label_map


def _print_table(sections: Sequence, scores: dict, regions) -> None:
    """Score / IoU / Dice of every region of every section, then means."""
    say()
    say(f"{'':10} {'':>7} {'':>6}  " + "".join(f"{region.name:^17}" for region in regions))
    columns = "score  IoU Dice"
    say(f"{'section':10} {'regions':>7} {'AP':>6}  " + "".join(f"{columns:^17}" for _ in regions))
    for section in sections:
        cells = []
        for i in (region.id for region in regions):
            if i not in section.dices:
                cells.append("not drawn" if i not in section.result["class_ids"] else "extra")
            elif not (score := section.scores[i]).found:
                cells.append("missed")
            else:
                cells.append(f"{score.score:.2f} {score.iou:.2f} {score.dice:.2f}")
        found = f"{section.n_found} of {len(section.dices)}"
        cells = "".join(f"{cell:^17}" for cell in cells)
        say(f"{section.name:10} {found:>7} {section.ap:6.3f}  {cells}")
    say()
    for title, key in (("as they lie", "as_they_lie"), ("turned and mirrored", "turned")):
        summary = scores[key]
        say(
            f"{title:20} mAP {summary.map_paper:.3f}  mean Dice {summary.dice_mean:.3f}"
            f"  ({dices_by_region(summary)})"
        )


def _short(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
