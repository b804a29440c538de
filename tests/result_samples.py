"""Made-up results of `sebre evaluate`."""

import json

from sebre.regions import SUBCORTICAL

PAPERS, STAND_IN = "ours, on the paper's data", "ours, on stand-in data"


def made_up(experiment, dataset, start, regions, weights="small", volumes=False, turned=True):
    """A record whose every score is another number, from `start` on in steps of 0.001."""
    count = iter(range(1000))

    def score():
        return round(start + next(count) / 1000, 3)

    def scores():
        per = {
            f"{key}_per_region": {name: score() for name in regions}
            for key in ("ap50", "dice", "hausdorff_px", "cmd_px")
        }
        numbers = {key: score() for key in ("map_paper", "coco_ap50", "coco_ap", "dice_mean")}
        n = {name: 10 + i for i, name in enumerate(regions)}
        counts = {"n_per_region": n, "missed_per_region": dict.fromkeys(regions, 2)}
        return {"n_sections": 20, **numbers, **per, **counts}

    record = {
        "experiment": experiment,
        "dataset": dataset,
        "subset": "val",
        "split": {"rule": "subject:1/3", "leaks": "Leaks: none."},
        "weights": weights,
        "weights_sha256": "0123456789abcdef",
        "command": f"sebre evaluate {experiment} --dataset datasets/{dataset}",
        **scores(),
    }
    if volumes:
        record["n_subjects"] = 3
        for key in ("hausdorff_mm_per_region", "cmd_mm_per_region", "dice_per_region_volume"):
            record[key] = {name: score() for name in regions}
    more = {"draws_per_section": 5, "max_angle": 20, "flip": False}
    record["turned"] = {**more, **scores()} if turned else None
    regions = {
        name: {"score": 0.5 + i / 20, "iou": 0.1 * i, "dice": 0.15 * i}
        for i, name in enumerate(list(regions)[:5])
    }
    missed = {name: {"score": 0.0, "iou": 0.0, "dice": 0.0} for name in regions}
    record["sections"] = [
        {"section": "val/0", "ap": 0.5, "regions": regions},
        {"section": "val/1", "ap": 0.0, "regions": missed},
    ]
    return record


def write(folder, **records):
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")


def human_mri(folder):
    """Human MRI on the paper's own data (0.1...), and on a stand-in (0.2...) in px."""
    own = made_up("ibsr", "ibsr", 0.1, SUBCORTICAL.names, volumes=True)
    other = made_up("ibsr", "scans", 0.2, SUBCORTICAL.names, turned=False)
    for key in ("dice_per_region", "ap50_per_region", "hausdorff_px_per_region"):
        other[key]["left_pallidum"] = None
    other["n_per_region"]["left_pallidum"] = 0
    write(folder, own=own, other=other)
