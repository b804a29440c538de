"""`sebre next`: which sections of a folder of predictions to correct first."""

import argparse

from sebre.program import DONE, complain, say


def run_next(args: argparse.Namespace) -> int:
    """Say which sections come first and why, and write the table where one is wanted."""
    from mrcnn.io.own_files import demand_own, replace_own_text
    from sebre.corrections.candidates import read_candidates
    from sebre.corrections.next_sections import COLUMNS, choose, corrected_in
    from sebre.data.csv_tables import write_table
    from sebre.data.listing import some

    if args.out is not None:
        demand_own([args.out])
    found = read_candidates(args.predictions)
    done = corrected_in(args.done, found.sections) if args.done else []
    picks = choose(found.sections, args.count, done)
    for order, pick in enumerate(picks, start=1):
        say(f"{order:3d}  {pick.section.name:24} {'; '.join(pick.reasons())}")
    taken = sum(pick.taken for pick in picks)
    say(f"{len(picks)} of {len(found.sections)} sections, for {taken:.0%} of the doubt.")
    if args.out is not None:
        rows = (pick.row(order) for order, pick in enumerate(picks, start=1))
        write_table(args.out, COLUMNS, rows, replace_own_text)
        say(f"Table: {args.out}")
    if done:
        complain(f"sebre next: corrected already, and left out: {some(done)}")
    for why, names in found.left_out.items():
        complain(f"sebre next: left out, {why}: {some(names)}")
    if not found.calibrated:
        complain(
            "sebre next: the network has no trust file, so its scores stand for the expected Dice; "
            "they tell less. `sebre models calibrate` makes one."
        )
    return DONE
