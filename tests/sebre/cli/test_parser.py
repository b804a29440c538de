"""Options of the commands and their help."""

import argparse

import pytest

from sebre.cli.parser import _HELP, PLANES, build_parser
from sebre.prepare import volume

COMMANDS = """prepare train evaluate predict detect export inspect register check compare demo
    publish bench morphometry models next synthesize neurites areas""".split()


_SAME = {"detect": "predict"}  # an older name


def _options(experiment: str | None) -> set[tuple[str, str, str | None]]:
    """Command, first name and help of all options."""
    parser = build_parser(experiment, dict.fromkeys(COMMANDS))
    return {
        (_SAME.get(command, command), (action.option_strings or [action.dest])[0], action.help)
        for command, sub in _commands(parser).items()
        for action in sub._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        and action.dest != "experiment"
    }


def _commands(
    parser: argparse.ArgumentParser, before: str = ""
) -> dict[str, argparse.ArgumentParser]:
    """Parsers of the commands, and of those that a command has, by their words."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                found |= {before + name: sub} | _commands(sub, f"{before}{name} ")
    return found


@pytest.mark.parametrize("experiment", [None, "slicemap"])
def test_every_option_has_help(experiment):
    assert [option for option in _options(experiment) if not option[2]] == []


def test_every_help_is_of_an_option():
    options = _options(None) | _options("slicemap")
    known = {(command, name) for command, name, _ in options} | {
        ("", name) for _, name, _ in options
    }
    assert set(_HELP) <= known


def test_planes_are_those_that_volumes_are_cut_in():
    assert PLANES == tuple(volume.PLANES)
