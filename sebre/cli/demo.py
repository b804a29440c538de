"""`sebre demo`: the shipped network on the test sections of datasets/slicemap.

Prints a table, and writes overlays, label maps, tables and one contact sheet.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from sebre.drawing.contact_sheet import save_sheet
from sebre.evaluation.evaluate import evaluate_sections, save_json
from sebre.evaluation.section import sheet_row
from sebre.evaluation.summary import dices_by_region, summarize
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import load_segmenter
from sebre.predict.outputs import region_rows, save_section, save_table
from sebre.program import say


def run(weights: str, root: Path, out: Path) -> None:
    """Segment, score, print and draw the "val" part of the prepared data set `root`."""
    start = time.perf_counter()
    segmenter = load_segmenter(weights, EXPERIMENTS["slicemap"])
    regions = segmenter.regions
    dataset = EXPERIMENTS["slicemap"].load(root, "val")
    say(f"Segmenting the {dataset.num_images} test sections of {_short(root)}")
    lying = evaluate_sections(segmenter, dataset)
    turned = evaluate_sections(segmenter, dataset, turned=True)

    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for section in lying:
        name = section.name.replace("/", "_")
        save_section(name, section.image, section.result, regions, out)
        rows += region_rows(name, section.result, regions)
    save_table(rows, out / "regions.csv")
    scores = {"as_they_lie": summarize(lying, regions), "turned": summarize(turned, regions)}
    stored = {key: summary.to_json() for key, summary in scores.items()}
    save_json({"weights_sha256": segmenter.weights.sha256, **stored}, out / "scores.json")
    sheet = [sheet_row(section, regions) for section in lying]
    save_sheet(sheet, ("drawn", "found"), regions, out / "contact_sheet.png")

    _print_table(lying, scores, regions)
    say()
    say(f"Contact sheet            {_short(out / 'contact_sheet.png')}")
    say(f"Overlays and label maps  {_short(out)}/val_*_overlay.png, val_*_labels.png")
    say(f"Tables                   {_short(out / 'regions.csv')}, {_short(out / 'scores.json')}")
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
