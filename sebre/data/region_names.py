"""What class ids mean, wherever they meet: names of weights, data sets and experiments compared.

An id alone says nothing: two data sets number the same regions in other orders. So whoever joins
two things that have ids compares the names behind them here first.
"""

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from mrcnn.errors import UserError
from sebre.data.listing import one_form
from sebre.data.regions import RegionSet

logger = logging.getLogger(__name__)

# Words of names that say a side, and those of the other side.
_RIGHT_OF = {"left": "right", "l": "r", "lh": "rh"}
_SIDES = {**dict.fromkeys(_RIGHT_OF, "left"), **dict.fromkeys(_RIGHT_OF.values(), "right")}
# Between words: signs, and changes of case (leftCA1, CA1Left, caudateL; not dLGN).
_GAP = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z])|(?<=[a-z]{2})(?=[A-Z])")
# A side that nothing parts from its word (LCA1, CA1L, leftca1); only another name can confirm it.
_LEFT_END = re.compile(
    r"(?<![^\W_])(left|l)(?=[^\W_]{2})|(?<=[^\W_]{2})(left|l)(?![^\W_])", re.IGNORECASE
)
# section_masks_12_basal_ganglia_m3 -> basal_ganglia
_MASK_NAME = re.compile(r"(?P<section>.*?_\d+_)?(?P<region>.+?)_m_?\d+")
# section_masks_12_CA3 -> CA3, whose number is read as a class id; section_masks_12_cortex_3
_WORD_WITH_NUMBER = re.compile(r"(?P<section>.*?_\d+_)?(?P<region>(?:.*_)?(?![mM]\d)[^\W\d_]+\d+)")
_NAME_AND_NUMBER = re.compile(r"(?P<section>.*?_\d+_)?(?P<region>.+?)_\d+")
# What masks are called that are not called by their regions: mask1, label_2.
_OF_ANY = "annotation area class id label object part region roi seg segment segmentation".split()
_ANY_NUMBERED = re.compile(rf"(?:.*_)?(?:m|masks?|(?:{'|'.join(_OF_ANY)})s?)\d+", re.IGNORECASE)


def plain(name: str) -> str:
    """A name without what spellings differ in: neither case nor what stands between its words
    counts. Two regions may share it (IC and ic), so names are compared by `same_names`."""
    return one_form(name).lower().strip(":").replace(" ", "_").replace("-", "_")


def same_names(given: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The known name that each given one stands for; given names that stand for none are left out.

    The same letters come first. Spellings (`plain`) are joined only where they join no two names
    of either kind: IC and ic, inferior colliculus and internal capsule, stay two.
    """
    given, known = set(given), set(known)
    of_given, of_known = (Counter(map(plain, {*map(one_form, names)})) for names in (given, known))
    spelled = {plain(name): name for name in known if of_known[plain(name)] == 1}
    same = {name: spelled.get(plain(name)) for name in given if of_given[plain(name)] == 1}
    letters = {one_form(name): name for name in known}
    same |= {name: letters[key] for name in given if (key := one_form(name)) in letters}
    return {name: one for name, one in same.items() if one is not None}


def alike(names: Iterable[str]) -> list[str]:
    """Those of different names that only their spelling tells apart, such as IC and ic."""
    names = dict.fromkeys(names)
    count = Counter(map(plain, names))
    return [name for name in names if count[plain(name)] > 1]


def side_of(name: str) -> str:
    """The side that the name of a region says: "left" or "right"; "" for none, or both."""
    said = {_SIDES[word] for word in _words(name) if word in _SIDES}
    return said.pop() if len(said) == 1 else ""


def sides_of(names: Sequence[str]) -> list[str]:
    """The side of each region of a set, as `side_of`; also where only the other one's name tells:
    CA1L is a left one beside CA1R."""
    sides = {}
    for left, right in side_pairs(names):
        sides |= {left: "left", right: "right"}
    return [side_of(name) or sides.get(number, "") for number, name in enumerate(names, start=1)]


def side_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Class ids of the left and the right one of regions that names tell apart by a side."""
    apart = set(alike(names))  # by capitals: IC_l and ic_r are no pair
    ids = {name: number for number, name in enumerate(names, start=1)}
    by_words = {_key(name, name in apart): number for name, number in ids.items()}
    pairs = []
    for name, number in ids.items():
        side = side_of(name)
        if side == "left":
            key = _key(name, name in apart)
            others = [by_words.get(tuple(_RIGHT_OF.get(word, word) for word in key))]
        else:
            others = [ids.get(other) for other in _mirrored(name)] if not side else []
        pairs += [(number, other) for other in others if other is not None][:1]
    return tuple(pairs)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _GAP.split(name) if word]


def _key(name: str, exactly: bool) -> tuple[str, ...]:
    """Words of a name; as they are but for those of sides, where capitals count."""
    words = [word for word in _GAP.split(name) if word]
    return tuple(w if exactly and w.lower() not in _SIDES else w.lower() for w in words)


def _mirrored(name: str) -> Iterator[str]:
    """What a name with a left end or beginning would be with a right one."""
    for match in _LEFT_END.finditer(name):
        left = match[0]
        right = _RIGHT_OF[left.lower()]
        right = right.upper() if left.isupper() else right.title() if left.istitle() else right
        yield name[: match.start()] + right + name[match.end() :]


def order_of(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each class of `wanted` is among others, which have `names`; None for other names.

    Both are without the background, the places with it: [0, 2, 1] for two that trade places.
    """
    places = {name: place for place, name in enumerate(names, start=1)}
    same = same_names(wanted, names)
    if not len(places) == len(names) == len(wanted) == len({*same.values()}):
        return None
    return [0, *(places[same[name]] for name in wanted)]


def are_same(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether classes have the same names in the same order."""
    return order_of(names, wanted) == [*range(len(wanted) + 1)]


def in_words(names: Iterable[str]) -> str:
    """Names with their class ids, for a message: "1 cortex, 2 hippocampus"."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))


def recorded_regions(root: Path) -> RegionSet | None:
    """The regions in the dataset.json of a prepared data set; None if it has none."""
    path = root / "dataset.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path}: its regions cannot be read (not JSON: {error}). Prepare the data set again."
        ) from error
    named = isinstance(record, dict) and "regions" in record
    return RegionSet.from_json(record, path) if named else None


def region_in(path: Path) -> str | None:
    """The region that the file of a mask is named for, in the layout of prepared data sets."""
    match = _MASK_NAME.fullmatch(one_form(path.stem))
    return match["region"] if match and match["section"] else None


def number_ends_word(path: Path) -> bool:
    """Whether the number that a mask has its class id from is the end of a word, as in CA3.png."""
    return bool(_WORD_WITH_NUMBER.fullmatch(one_form(path.stem)))


def misnamed(
    masks: Iterable[tuple[int, Path]], regions: RegionSet
) -> Iterator[tuple[int, Path, str]]:
    """Masks whose file names say another region than their class ids do.

    What stands between the number of the section and `_m<id>` is the name of a region, unless masks
    of several ids share it; elsewhere a name counts if it is one of the region set. A number may
    be that of a name (CA3.png): then the name, with it, must be that of the class id.

    Args:
        masks: class id and path of each.
        regions: what the ids mean.

    Yields:
        Class id, path, and the name in it.
    """
    aliases = [{region.name, region.acronym} for region in regions]
    shared = Counter(key for names in aliases for key in {*map(plain, names)})

    def ends_in(text: str, alias: str) -> bool:
        if shared[plain(alias)] == 1:  # else only capitals tell it from another region
            text, alias = plain(text), plain(alias)
        alias = one_form(alias)
        # What stands before may have numbers of its own, such as a date.
        return bool(re.search(rf"(^|\d_){re.escape(alias)}$", text))

    ids_of: dict[str, set[int]] = defaultdict(set)
    found = []
    for class_id, path in masks:
        if match := _MASK_NAME.fullmatch(one_form(path.stem)):
            name = plain(match["region"])
            ids_of[name].add(class_id)
            found.append((class_id, path, match, name))
        elif name := _named_without_id(path, class_id, aliases, ends_in):
            yield class_id, path, name
    for class_id, path, match, name in found:
        if not 1 <= class_id <= len(regions):
            continue  # of no region
        if any(ends_in(match["region"], alias) for alias in aliases[class_id - 1]):
            continue
        if name in shared or (match["section"] and len(ids_of[name]) == 1):
            yield class_id, path, match["region"]


def _named_without_id(
    path: Path,
    class_id: int,
    aliases: Sequence[Collection[str]],
    ends_in: Callable[[str, str], bool],
) -> str:
    """The region that a file without `_m<id>` is named for, if that is not the one of its id."""
    stem = one_form(path.stem)
    match = _WORD_WITH_NUMBER.fullmatch(stem)
    in_word = match is not None
    match = match or _NAME_AND_NUMBER.fullmatch(stem)
    if match is None or not 1 <= class_id <= len(aliases):
        return ""
    text = match["region"]
    if any(ends_in(text, alias) for alias in aliases[class_id - 1]):
        return ""
    named = any(ends_in(text, alias) for names in aliases for alias in names)
    odd = in_word and match["section"] and not _ANY_NUMBERED.fullmatch(text)
    return text if named or odd else ""


def demand_regions(
    root: Path, masks: Iterable[tuple[int, Path]], regions: RegionSet, where: str = ""
) -> None:
    """Raise UserError unless a prepared data set has these regions under these class ids.

    Its dataset.json says what it has, and so do the names of its masks (class id and path of
    each). Where neither says anything, a warning says what is assumed.

    Args:
        root: folder with dataset.json, if there is one.
        masks: those that are read.
        regions: what is looked for.
        where: what is read, for the warning; the folder by default.
    """
    masks = list(masks)
    recorded = recorded_regions(root)
    if recorded is not None and not are_same(recorded.names, regions.names):
        numbered = order_of(recorded.names, regions.names) is not None
        raise UserError(
            f"{root / 'dataset.json'}: the data set has the regions {in_words(recorded.names)}; "
            f"wanted are those of {regions.name}: {in_words(regions.names)}. "
            + ("The same in another order: " if numbered else "Other regions: ")
            + "take the experiment that it was prepared for, or prepare it for these (`sebre "
            "prepare --regions-of`, with --map where names differ)."
        )
    if wrong := next(misnamed(masks, regions), None):
        class_id, path, name = wrong
        raise UserError(
            f"{path}: named for the region {name}, but class id {class_id} is "
            f"{regions[class_id].name} in {regions.name}: {in_words(regions.names)}. Take the "
            "experiment that the masks were drawn for, or rename the file."
        )
    if recorded is None and masks and not any(region_in(path) for _, path in masks):
        logger.warning(
            "%s: neither dataset.json nor the names of the masks say which regions they show; "
            "taken to be those of %s: %s.",
            where or root,
            regions.name,
            in_words(regions.names),
        )
