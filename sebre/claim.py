"""A row of the claims ledger, and the words that it uses."""

from dataclasses import dataclass

REPRODUCED, PARTLY, NOT, NOT_RUN = "reproduced", "partly", "not", "not run"
SETTING, SCORE, RIVAL, FACT, STATEMENT = (
    "settings and counts",
    "scores",
    "rivals' scores",
    "facts",
    "statements",
)
# What stand-in data say of a statement; they decide nothing.
HOLDS, HOLDS_NOT, OPEN = "holds", "does not hold", "open"

NOT_PUBLIC = "the authors' sections and weights are not public"
NEEDS_NITRC = "the IBSR scans need registration at NITRC"

CLOSE = 0.05  # share of a published number that counts as reached


@dataclass(frozen=True)
class Claim:
    """A row of the ledger.

    Attributes:
        kind: SETTING, SCORE, RIVAL, FACT or STATEMENT.
        where: in the paper.
        what: is claimed.
        published: the number, as text.
        on_paper_data: ours on the paper's own data; of a setting, that of this package.
        on_stand_in: ours on stand-in data, with its name.
        verdict: REPRODUCED, PARTLY, NOT or NOT_RUN.
        why: the reason.
        stand_in_says: of a statement, whether it HOLDS, HOLDS_NOT or is OPEN on stand-in data,
            by data set; empty for others.
    """

    kind: str
    where: str
    what: str
    published: str
    on_paper_data: str
    on_stand_in: str
    verdict: str
    why: str
    stand_in_says: str = ""
