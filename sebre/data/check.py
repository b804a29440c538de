"""`sebre check`: what in a prepared data set would go wrong in training or spoil its scores.

It also reads folders made for the released SeBRe code, which have images and masks only.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import file_sha256
from sebre.data.check_section import check_section
from sebre.data.csv_tables import read_rows
from sebre.data.findings import Finding, render
from sebre.data.leakage import audit
from sebre.data.listing import visible
from sebre.data.region_names import misnamed, number_ends_word, plain, recorded_regions, region_in
from sebre.data.regions import RegionSet
from sebre.data.section_files import list_subset, part_folder

__all__ = ["Finding", "check", "render"]

_SUBSET = re.compile(r"mrcnn_(.+)_dataset_(?:images|masks)")


@dataclass
class _Section:
    image: Path
    masks: dict[int, Path]
    digest: str = ""
    present: frozenset[int] = frozenset()


# What was found of the data set, by name of the section, such as ("val", 3).
_Sections = dict[tuple[str, int], _Section]


def _mask_files(sections: _Sections) -> Iterator[tuple[int, Path]]:
    for section in sections.values():
        yield from section.masks.items()


def check(dataset: str | Path, regions: RegionSet | None = None) -> list[Finding]:
    """Look through a prepared data set; `render` makes a text of what was found.

    Every file is read. What the reader (`sebre.data.dataset`) refuses is an error; a data set
    without errors can be trained on. Class ids are checked against the regions that are given, or
    those of dataset.json.
    """
    root = Path(dataset)
    if not root.is_dir():
        raise MissingFileError(f"{root}: no such folder. Give the folder of a prepared data set.")
    findings: list[Finding] = []
    subsets = sorted({m[1] for p in visible(root) if (m := _SUBSET.fullmatch(p.name))})
    if not subsets:
        return [_not_a_dataset(root)]
    recorded = _recorded_regions(root, findings)
    sections: _Sections = {}
    for subset in subsets:
        _list_part(root, subset, sections, findings)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        parts = sections.values()
        for section, seen in zip(
            parts, pool.map(lambda s: check_section(s.image, s.masks), parts), strict=True
        ):
            section.digest, section.present = seen.digest, seen.present
            findings += seen.findings
    findings += _mask_names(sections)
    if regions is not None and recorded is not None and regions.names != recorded.names:
        problem = f"made for the regions {', '.join(recorded.names)}; asked for "
        problem += f"{', '.join(regions.names)}."
        cure = "Use the experiment or region set that it was made for."
        findings.append(Finding("error", "region set", root / "dataset.json", problem, cure))
    regions = regions or recorded
    findings += _region_names(sections, regions)
    if regions is not None:
        findings += _class_ids(root, sections, regions, subsets)
    if sections and not any(section.present for section in sections.values()):
        problem, cure = "no section shows any region.", "Add masks; without any nothing is learned."
        findings.append(Finding("error", "nothing drawn", root, problem, cure))
    findings += _same_pictures(sections)
    findings += _table(root, sections, regions)
    findings += _checksums(root)
    findings += _summary(root, sections, subsets)
    return findings


def _not_a_dataset(root: Path) -> Finding:
    inner = [p.name for p in visible(root) if p.is_dir() and any(p.glob("mrcnn_*"))]
    cure = (
        f"Check {root / inner[0]} instead."
        if inner
        else "A prepared data set has mrcnn_train_dataset_images and mrcnn_train_dataset_masks; "
        "check the path, or make it with `sebre prepare`."
    )
    problem = "no folder named mrcnn_<subset>_dataset_images in it."
    return Finding("error", "layout", root, problem, cure)


def _recorded_regions(root: Path, findings: list[Finding]) -> RegionSet | None:
    path = root / "dataset.json"
    if not path.is_file():
        text = "there is no dataset.json; regions are known by the names of the masks only."
        findings.append(Finding("note", "dataset.json", root, text))
        return None
    try:
        if (found := recorded_regions(root)) is not None:
            return found
        problem = "its regions cannot be read (there are none). Prepare the data set again."
    except UserError as error:
        problem = str(error).removeprefix(f"{path}: ")
    findings.append(Finding("error", "dataset.json", path, problem))
    return None


def _list_part(root: Path, subset: str, sections: _Sections, findings: list[Finding]) -> None:
    """Images and masks of one subset by number; what the reader would refuse."""
    listed, refused = list_subset(root, subset)
    findings += (Finding("error", r.kind, r.path, r.problem, r.cure) for r in refused)
    for number, files in listed.items():
        sections[subset, number] = _Section(files.image, files.masks)
    if missing := sorted(set(range(max(listed, default=-1) + 1)) - listed.keys()):
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        text = f"numbers without an image: {shown}. No harm here; the released SeBRe code wants "
        text += "0, 1, 2, ... without a gap."
        findings.append(Finding("note", "numbering", part_folder(root, subset, "images"), text))


def _mask_names(sections: _Sections) -> Iterator[Finding]:
    """Numbers that belong to a word, as in CA3.png, are read as class ids."""
    for class_id, path in _mask_files(sections):
        if number_ends_word(path):
            problem = f"class id {class_id} is read from the end of a word."
            cure = f"Name it ..._m{class_id}{path.suffix} if that is meant."
            yield Finding("warning", "mask name", path, problem, cure)


def _region_names(sections: _Sections, regions: RegionSet | None) -> Iterator[Finding]:
    """Names in the files of masks against the region set, or against one another."""
    if regions is not None:
        for class_id, path, name in misnamed(_mask_files(sections), regions):
            problem = f"class id {class_id} is {regions[class_id].name} in the region set "
            problem += f"{regions.name!r}, not {name}."
            cure = "Look which region it is, and rename the file."
            yield Finding("error", "region name", path, problem, cure)
        return
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    named = [(i, path, name) for i, path in _mask_files(sections) if (name := region_in(path))]
    ids_of: dict[str, set[int]] = defaultdict(set)
    for class_id, _, name in named:
        ids_of[plain(name)].add(class_id)

    def said(name: str) -> str:  # of several ids: perhaps regions that capitals tell apart
        return plain(name) if len(ids_of[plain(name)]) == 1 else name

    for class_id, _, name in named:
        seen[class_id][said(name)] += 1
    for class_id, path, name in named:
        wanted = seen[class_id].most_common(1)[0][0]
        if said(name) != wanted:
            problem = f"class id {class_id} is {wanted} in other sections, not {name}."
            cure = "Look which region it is; the number at the end of the name decides."
            yield Finding("warning", "region name", path, problem, cure)


def _class_ids(
    root: Path, sections: _Sections, regions: RegionSet, subsets: Iterable[str]
) -> Iterator[Finding]:
    for class_id, path in _mask_files(sections):
        if not 1 <= class_id <= len(regions):
            problem = f"class id {class_id} is not in the region set {regions.name!r} "
            problem += f"(1-{len(regions)})."
            cure = "Rename the file, or use the region set that it was drawn for."
            yield Finding("error", "class id", path, problem, cure)
    for subset in subsets:
        parts = [s.present for (part, _), s in sections.items() if part == subset]
        for region in regions:
            if parts and not any(region.id in present for present in parts):
                text = f"no section shows {region.name} (class id {region.id})."
                cure = "It cannot be learned." if subset == "train" else "It cannot be scored."
                path = part_folder(root, subset, "masks")
                yield Finding("warning", "absent region", path, text, cure)


def _same_pictures(sections: _Sections) -> Iterator[Finding]:
    by_digest: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, section in sections.items():
        if section.digest:
            by_digest[section.digest].append(name)
    for names in by_digest.values():
        for name in names[1:]:
            first = sections[names[0]].image
            across = any(other[0] != name[0] for other in names)
            problem = f"shows the same picture as {first.parent.name}/{first.name}"
            problem += ", in another part of the data set." if across else "."
            again = sections[name].image
            yield Finding("warning", "same picture", again, problem, "Keep one.")


def _table(root: Path, sections: _Sections, regions: RegionSet | None) -> Iterator[Finding]:
    path = root / "sections.csv"
    if not path.is_file():
        text = "there is no sections.csv; subjects and leaks between the parts are not known."
        yield Finding("note", "sections.csv", root, text)
        return
    try:
        columns, rows = read_rows(path)
        if missing := {"section", "subset"} - set(columns):
            raise UserError(f"column {', '.join(sorted(missing))} is missing")
        named = Counter((row["subset"], int(row["section"])) for row in rows)
    except (OSError, ValueError, TypeError) as error:
        problem = f"cannot be read ({str(error).removeprefix(f'{path}: ')})."
        cure = "It wants the columns section (a number) and subset, one row per image."
        yield Finding("error", "sections.csv", path, problem, cure)
        return
    for (subset, number), times in named.items():
        if times > 1:
            problem = f"{times} rows for section {number} of {subset}."
            yield Finding("error", "sections.csv", path, problem, "Keep one.")
        if (subset, number) not in sections:
            problem = f"section {number} of {subset} has a row but no image."
            yield Finding("error", "sections.csv", path, problem, "Add it, or remove the row.")
    for name, section in sections.items():
        if name not in named:
            problem = "has no row in sections.csv."
            yield Finding("warning", "sections.csv", section.image, problem, "Add a row.")
    if regions is not None:
        yield from _listed_regions(rows, sections, regions)
    found = audit(rows)
    if found.sections or found.subjects:
        cure = "Scores are better than on new brains; split by subject where there are several."
        yield Finding("warning", "leaks", path, str(found), cure)
    else:
        yield Finding("note", "leaks", path, str(found))


def _listed_regions(
    rows: Iterable[Mapping[str, Any]], sections: _Sections, regions: RegionSet
) -> Iterator[Finding]:
    for row in rows:
        section = sections.get((row["subset"], int(row["section"])))
        if section is None or row.get("regions") is None:
            continue
        names = {regions[i].name for i in section.present if 1 <= i <= len(regions)}
        if names != set(row["regions"].split()):
            problem = f"shows {', '.join(sorted(names)) or 'no region'}; its row in sections.csv "
            problem += f"lists {row['regions'] or 'none'}."
            cure = "Look which is right."
            yield Finding("warning", "listed regions", section.image, problem, cure)


def _checksums(root: Path) -> Iterator[Finding]:
    sums = root / "SHA256SUMS"
    if not sums.is_file():
        return
    listed = {"SHA256SUMS"}
    for number, line in enumerate(sums.read_text("utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)", line.strip())
        if match is None:
            if line.strip():
                problem = f"line {number} is not a checksum and a file name."
                yield Finding("error", "checksum", sums, problem, "Make the file again.")
            continue
        path = root / match[2]
        listed.add(Path(match[2]).as_posix())
        if not path.is_file():
            yield Finding("error", "checksum", path, "listed in SHA256SUMS, but not there.")
        elif file_sha256(path) != match[1].lower():
            problem = "differs from its checksum in SHA256SUMS."
            cure = "Copy the file again; if you changed it, make SHA256SUMS again."
            yield Finding("error", "checksum", path, problem, cure)
    for path in visible(root, "**/*"):
        if path.is_file() and path.relative_to(root).as_posix() not in listed:
            yield Finding("note", "checksum", path, "not listed in SHA256SUMS.")


def _summary(root: Path, sections: _Sections, subsets: Iterable[str]) -> Iterator[Finding]:
    counts = Counter(subset for subset, _ in sections)
    text = ", ".join(f"{counts[subset]} images in {subset}" for subset in subsets)
    masks = Counter(class_id for class_id, _ in _mask_files(sections))
    per_id = ", ".join(f"{i}: {n}" for i, n in sorted(masks.items()))
    yield Finding("note", "contents", root, f"{text}; masks by class id: {per_id or 'none'}.")
