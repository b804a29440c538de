"""What keeps a JSON file from being a whole result.

Fields that older results lack may be missing: "network", "intervals", "failures", "angles" and
those of volumes. What is there must be whole.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

_TEXTS = ("experiment", "dataset", "subset")
_SCORES = ("n_sections", "map_paper", "coco_ap50", "coco_ap", "dice_mean")
_BY_REGION = ("n_per_region", "missed_per_region", "ap50_per_region", "dice_per_region")
_TIMES = ("mean", "median", "max")


def fault_of_result(record: Any) -> str:
    """What keeps the content of a file from being a result of `sebre evaluate`; "" for nothing.

    Args:
        record: JSON.
    """
    return _fault(record, (*_TEXTS, "weights")) or _fault_of_angles(record.get("angles"))


def fault_of_method(record: Any) -> str:
    """What keeps the content of a file from being a result of `sebre register`; "" for nothing.

    Args:
        record: JSON.
    """
    fault = _fault(record, (*_TEXTS, "method"))
    if fault:
        return fault
    texts = ("network", "weights") if record["method"] == "network" else ()
    if fault := _fault_of_texts(record, texts):
        return fault
    if record["turned"] is None:
        return "turned is null"
    if not is_number(rotate := record["turned"].get("rotate")):
        return f"turned.rotate is {rotate!r}, not a number"
    for where, scores in (("", record), ("turned.", record["turned"])):
        lacks = [
            where + key for key in ("mse", "seconds_per_section", "sections") if key not in scores
        ]
        if lacks:
            return f"it lacks {', '.join(lacks)}"
        if not is_number(scores["mse"]):
            return f"{where}mse is {scores['mse']!r}, not a number"
        times = scores["seconds_per_section"]
        if times is not None and not (
            isinstance(times, dict) and all(is_number(times.get(key)) for key in _TIMES)
        ):
            return f"{where}seconds_per_section is {times!r}; wanted {', '.join(_TIMES)}, or null"
        if fault := _fault_of_sections(scores["sections"], ("mse",)):
            return where + fault
    return ""


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _fault(record: Any, texts: Iterable[str]) -> str:
    if not isinstance(record, dict):
        return f"it holds a JSON {type(record).__name__}, not an object"
    lacks = [key for key in (*texts, "turned", "sections") if key not in record]
    if lacks:
        return f"it lacks {', '.join(lacks)}"
    if fault := _fault_of_texts(record, (*texts, *({"network"} & record.keys()))):
        return fault
    if not isinstance(record["turned"], dict | None):
        return "turned is neither an object nor null"
    for where, scores in (("", record), ("turned.", record["turned"])):
        if scores is not None and (fault := _fault_of_scores(scores, where)):
            return fault
    return _fault_of_sections(record["sections"])


def _fault_of_texts(record: Mapping[str, Any], keys: Iterable[str]) -> str:
    for key in keys:
        if not isinstance(record.get(key), str):
            return f"{key} is {record.get(key)!r}, not text"
    return ""


def _fault_of_scores(scores: Mapping[str, Any], where: str) -> str:
    lacks = [where + key for key in (*_SCORES, *_BY_REGION) if key not in scores]
    if lacks:
        return f"it lacks {', '.join(lacks)}"
    if not is_number(scores["n_sections"]):
        return f"{where}n_sections is {scores['n_sections']!r}, not a number"
    for key in _SCORES:
        if not (scores[key] is None or is_number(scores[key])):
            return f"{where}{key} is {scores[key]!r}, neither a number nor null"
    for key in (key for key in scores if "_per_region" in key):
        if not isinstance(scores[key], dict):
            return f"{where}{key} is not an object of numbers by region"
        for region, value in scores[key].items():
            if not (value is None or is_number(value)):
                return f"{where}{key} of {region} is {value!r}, neither a number nor null"
    return _fault_of_intervals(scores, where) or _fault_of_failures(scores, where)


def _fault_of_intervals(scores: Mapping[str, Any], where: str) -> str:
    if "intervals" not in scores:
        return ""
    if fault := _fault_of_texts(scores, ("interval_unit",)):
        return where + fault
    if not is_number(scores.get("n_interval_units")):
        return f"{where}n_interval_units is {scores.get('n_interval_units')!r}, not a number"
    return _fault_of_pairs(scores["intervals"], f"{where}intervals")


def _fault_of_pairs(intervals: Any, where: str) -> str:
    """Of [low, high] or null by name, or these by region by name."""
    if not isinstance(intervals, dict):
        return f"{where} is not an object of [low, high] by score"
    for key, value in intervals.items():
        if isinstance(value, dict):
            if fault := _fault_of_pairs(value, f"{where}.{key}"):
                return fault
        elif value is not None and not (
            isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
        ):
            return f"{where}.{key} is {value!r}, neither [low, high] nor null"
    return ""


def _fault_of_failures(scores: Mapping[str, Any], where: str) -> str:
    failures = scores.get("failures", {})
    if not isinstance(failures, dict):
        return f"{where}failures is not an object of counts by kind"
    for kind, counts in failures.items():
        total = counts.get("total") if isinstance(counts, dict) else None
        if not is_number(total):
            return f"{where}failures of {kind} has the total {total!r}, not a number"
        if not isinstance(counts.get("per_region"), dict):
            return f"{where}failures of {kind} are not counted by region"
    return ""


def _fault_of_angles(angles: Any) -> str:
    if angles is None:
        return ""
    try:
        if not is_number(angles["n_sections"]):
            return f"angles.n_sections is {angles['n_sections']!r}, not a number"
        for point in angles["curve"]:
            for key in ("angle", "map_paper", "dice_mean"):
                if not (is_number(point[key]) or (point[key] is None and key != "angle")):
                    return f"{key} in angles is {point[key]!r}, not a number"
            if fault := _fault_of_pairs(point["intervals"], "intervals in angles"):
                return fault
    except (TypeError, KeyError, AttributeError) as error:
        return f"angles do not hold scores by angle ({error!r})"
    return ""


def _fault_of_sections(sections: Any, more: Iterable[str] = ()) -> str:
    try:
        for section in sections:
            if not isinstance(section["section"], str):
                return f"the name of a section is {section['section']!r}, not text"
            for key in more:
                if not is_number(section[key]):
                    return f"{key} of a section is {section[key]!r}, not a number"
            for region, scores in section["regions"].items():
                for key in ("score", "iou", "dice"):
                    if not is_number(scores[key]):
                        return f"{key} of {region} in a section is {scores[key]!r}, not a number"
    except (TypeError, KeyError, AttributeError) as error:
        return f"sections do not hold the scores of each region ({error!r})"
    return ""
