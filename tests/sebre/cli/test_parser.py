"""Options of the commands and their help."""

import argparse

import pytest

from sebre.cli.parser import _HELP, PLANES, build_parser
from sebre.prepare import volume

COMMANDS = """prepare train evaluate predict detect export inspect register check compare demo
    publish bench morphometry models synthesize""".split()


_SAME = {"detect": "predict"}  # an older name


def _options(experiment: str | None) -> set[tuple[str, str, str | None]]:
    """Command, first name and help of all options."""
    parser = build_parser(experiment, dict.fromkeys(COMMANDS))
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {
        (_SAME.get(command, command), (action.option_strings or [action.dest])[0], action.help)
        for command, sub in commands.choices.items()
        for action in sub._actions
        if not isinstance(action, argparse._HelpAction) and action.dest != "experiment"
    }


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
