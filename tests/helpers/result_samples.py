"""Made-up results of `sebre evaluate` and `sebre register`."""

import json
from copy import deepcopy

from sebre.data.regions import SUBCORTICAL
from sebre.evaluation.scores import Evaluation, Registration
from sebre.report.records import Result

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


def newer(record, network="Mask R-CNN", unit="section", n_units=7, angles=(-20, 0, 20)):
    """A record with the fields that older ones lack, every interval 0.005 to either side."""
    regions = list(record["n_per_region"])
    for scores in filter(None, (record, record["turned"])):
        around = {key: _around(scores[key]) for key in ("map_paper", "dice_mean")}
        by_region = {name: _around(v) for name, v in scores["dice_per_region"].items()}
        scores["intervals"] = {**around, "dice_per_region": by_region}
        scores |= {"interval_unit": unit, "n_interval_units": n_units, "mse": 0.0125}
        scores["mse_per_region"] = dict.fromkeys(regions, 0.0125)
        scores["failures"] = {
            kind: {
                "total": total,
                "per_region": {**dict.fromkeys(regions, 0), regions[0]: total},
                "sections": {"val/1": [regions[0]]},
            }
            for total, kind in enumerate(
                ("missed", "poor", "extra", "duplicate", "wrong_region"), 1
            )
        }
    record["network"] = network
    record["angles"] = {
        "n_sections": 20,
        "enlarged": False,
        "n_interval_units": n_units,
        "curve": [
            {
                "angle": angle,
                **{key: record[key] - abs(angle) / 1000 for key in ("map_paper", "dice_mean")},
                "dice_per_region": record["dice_per_region"],
                "intervals": record["intervals"],
            }
            for angle in angles
        ],
    }
    return record


def _around(value):
    return None if value is None else [value - 0.005, value + 0.005]


def made_up_method(experiment, dataset, method, regions, start, unit="section", **more):
    """A record of six sections, two a subject; Dice grows by 0.01 a section and by 0.001 a region.

    `more` are further entries, such as the network and the weights.
    """

    def scores(lower):
        sections = [
            {
                "section": f"val/{i}",
                "ap": start,
                "mse": (1 - start + lower) / 100 + i / 10000,
                "regions": {
                    name: {"score": 1.0, "iou": 0.5, "dice": start - lower + i / 100 + j / 1000}
                    for j, name in enumerate(regions)
                },
                **({"unit": f"subject {i // 2}"} if unit == "subject" else {}),
            }
            for i in range(6)
        ]
        dices = {
            name: sum(section["regions"][name]["dice"] for section in sections) / 6
            for name in regions
        }
        mse = sum(section["mse"] for section in sections) / 6
        return {
            "n_sections": 6,
            "map_paper": start,
            "coco_ap50": start,
            "coco_ap": start,
            "dice_mean": sum(dices.values()) / len(dices),
            "mse": mse,
            "ap50_per_region": dict.fromkeys(regions, start),
            "dice_per_region": dices,
            "mse_per_region": dict.fromkeys(regions, mse),
            "n_per_region": dict.fromkeys(regions, 6),
            "missed_per_region": dict.fromkeys(regions, 0),
            "interval_unit": unit,
            "n_interval_units": 3 if unit == "subject" else 6,
            "intervals": {"dice_mean": [start - 0.01, start + 0.01]},
            "failures": {},
            "seconds_per_section": {"mean": 2.5, "median": 2.0, "max": 4.0},
            "sections": sections,
        }

    return {
        "experiment": experiment,
        "dataset": dataset,
        "subset": "val",
        "split": {"rule": "source", "leaks": "Leaks: none."},
        "method": method,
        "command": f"sebre register {experiment} --dataset datasets/{dataset} --method {method}",
        **scores(0),
        "turned": {"rotate": 20.0, **scores(0.1)},
        **more,
    }


def result_of(name, record):
    """A result of a record that is not in a file."""
    kind = Registration if "method" in record else Evaluation
    return Result(name, kind.from_json(deepcopy(record)))


def stored(result):
    """The JSON of a result."""
    return result.record.to_json()


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
