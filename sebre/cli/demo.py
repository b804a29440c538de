"""`sebre demo`: the shipped network on the test sections of datasets/slicemap.

Prints a table, and writes overlays, label maps, tables and one contact sheet.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from mrcnn.io.own_files import demand_own, replace_own
from sebre.drawing.contact_sheet import save_sheet
from sebre.evaluation.evaluate import evaluate_sections, save_json
from sebre.evaluation.section import sheet_row
from sebre.evaluation.summary import dices_by_region, summarize
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import best_labels, load_segmenter
from sebre.predict.measures import region_rows
from sebre.predict.outputs import output_paths
from sebre.predict.overview import PAGE, SUMMARY, about
from sebre.predict.prediction import Prediction
from sebre.predict.section_records import (
    TABLE,
    claim,
    forget,
    stamp,
    write_record,
    write_table_of_all,
)
from sebre.program import say

_SCORES, _SHEET = "scores.json", "contact_sheet.png"


def run(weights: str, root: Path, out: Path) -> None:
    """Segment, score, print and draw the "val" part of the prepared data set `root`."""
    start = time.perf_counter()
    out = out.absolute()
    dataset = EXPERIMENTS["slicemap"].load(root, "val")
    pictures = [Path(dataset.image_info[i]["path"]).absolute() for i in dataset.image_ids]
    names = [dataset.image_reference(i).replace("/", "_") for i in dataset.image_ids]
    files = [path for name in names for path in output_paths(name, out)]
    files += [out / name for name in (TABLE, PAGE, SUMMARY, _SCORES, _SHEET)]
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
        found = Prediction(name, section.image, labels, rows, regions, picture.name)
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
    say(f"Contact sheet            {_short(out / _SHEET)}")
    say(f"Overlays and label maps  {_short(out)}/val_*_overlay.png, val_*_labels.png")
    say(f"Tables                   {_short(out / TABLE)}, {_short(out / _SCORES)}")
    say(f"To look at in a browser  {_short(out / PAGE)}")
    say(f"{time.perf_counter() - start:.0f} s")


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
