"""The least time for a detection: its products, at the rate of a matrix product on all cores."""

from sebre.bench.cases.catalogue import Case, all_cases
from sebre.bench.measurements import Entry
from sebre.bench.timing import RATES, SIDE

# Multiplications of the catalogue's network (resnet101, 9 classes) by part: backbone, pyramid
# and RPN in a square of SIDE, the heads for a proposal, and for a mask.
DENSE, BOX, MASK = 45_187_485_696, 13_939_712, 515_608_576
_DETECTIONS = 8


def over_limit(entry: Entry) -> float | None:
    """How many times the least time a detection takes.

    None for anything else, and where no product in the precision of the network was timed.
    """
    case = _case_of(entry.name)
    if case is None or case.kind != "detect" or entry.image_px is None:
        return None
    config = case.settings.get("config", {})
    precision = config.get("PRECISION", "float32")
    rates = {dtype: getattr(entry, field) for field, dtype in RATES.items()}
    if rates.get(precision) is None or entry.seconds is None or entry.proposals is None:
        return None
    side = config.get("IMAGE_MAX_DIM", SIDE)
    height, width = side, side
    if config.get("IMAGE_RESIZE_MODE") == "fit64":
        height, width = (-(-px // 64) * 64 for px in entry.image_px)
    return entry.seconds * rates[precision] / gflop((height, width), entry.proposals)


def gflop(input_px: tuple[int, int], proposals: int) -> float:
    """GFLOP of one detection; a multiplication and its addition count as two.

    Args:
        input_px: height and width of what the network sees, padding included.
        proposals: that boxes are computed of.
    """
    dense = DENSE * input_px[0] * input_px[1] / SIDE**2
    return 2 * (dense + BOX * proposals + MASK * _DETECTIONS) / 1e9


def _case_of(name: str) -> Case | None:
    """The case of an entry, whose name may end in that of one of its tasks."""
    known = {case.name: case for case in all_cases()}
    return known.get(name) or known.get(name.rpartition("/")[0])
