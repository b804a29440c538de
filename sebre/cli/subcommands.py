"""Commands below a command, such as `sebre neurites train`.

Called by `sebre.cli.neurites` and `sebre.cli.areas`.
"""

import argparse
from collections.abc import Callable


def subcommands(
    sub: argparse.ArgumentParser, command: str, adder: Callable[..., Callable[..., None]]
) -> Callable[[str, str], Callable[..., None]]:
    """What makes a command below another, and returns what adds options to it.

    Args:
        sub: parser of the upper command.
        command: its name.
        adder: makes what adds options with their help (`sebre.cli.parser`).
    """
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> Callable[..., None]:
        parser = actions.add_parser(name, help=text, description=text)
        return adder(parser, command=f"{command} {name}")

    return action
