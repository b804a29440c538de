"""Every command with its options, and every public name of `sebre`, stay as they are.

Options and names may be added; a line of commands that worked must go on working.
"""

import importlib
import re

import pytest

NAMES = {
    "sebre": "load",
    "sebre.cli": "main",
    "sebre.config": """
        ExtendedMouseConfig ExtendedMouseFromScratch ExtendedMouseSmall FromScratch
        HippocampusConfig HippocampusFromScratch HippocampusSmall IBSRConfig IBSRFromScratch
        IBSRSmall P14MouseConfig P14MouseFromScratch P14MouseSmall SeBReConfig SlicemapConfig Small
        with_settings""",
    "sebre.dataset": """
        ExtendedMouseDataset HippocampusDataset IBSRDataset P14MouseDataset SOURCE
        SectionDataset""",
    "sebre.experiments": "EXPERIMENTS",
    "sebre.predict": "load_segmenter read_image",
    "sebre.regions": """
        Color HIPPOCAMPUS MOUSE Region RegionSet SLICEMAP SUBCORTICAL read_regions""",
}
EXPERIMENTS = ["p14_mouse", "extended_mouse", "hippocampus", "ibsr", "slicemap"]
SOURCES = """
    allen-ish ara-nissl ccf colour-code demba ibsr labels malc2012 mouse-mri sebre-figures
    slicemap""".split()

# What follows a verb: arguments by their place, and options. The scripts in samples/ take the
# same without the name of the experiment.
COMMANDS = {
    "prepare": """
        SOURCE --raw --out --split --seed --rotations --download --plane --orientation --regions
        --downsample --tolerance --exact --structures --gene --age""",
    "check": "DATASET --regions",
    "train": """
        EXPERIMENT --dataset --logs --inner-validation --network --weights --small --steps --seed
        --devices --set --resume""",
    "evaluate": """
        EXPERIMENT --dataset --weights --out --precision --runtime --set --subset
        --inner-validation --seed --draws --angles --angle-sections --slice-um""",
    "detect": """
        EXPERIMENT INPUTS --weights --out --precision --runtime --set --reduced-decode --tile
        --overlap --masks --overlay-px --workers --scheduler --resume --restart --retries""",
    "predict": """
        INPUTS --weights --out --precision --runtime --set --format --pixel-um --dry-run --channel
        --z --plane --orientation --reduced-decode --tile --overlap --masks --overlay-px --workers
        --scheduler --resume --restart --retries""",
    "export": "EXPERIMENT --weights --format --out --precision --calibrate --shape --set",
    "inspect": "EXPERIMENT IMAGE --weights --out --masks --set",
    "register": "EXPERIMENT --dataset --method --weights --out --rotate --limit --seed --threads",
    "compare": "--results --out",
}
WITHOUT_EXPERIMENT = ("check", "compare", "predict")


@pytest.fixture
def help_of(capsys, monkeypatch):
    """Text that a command prints when it is asked for help."""
    from sebre.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def help_of(*arguments, **fixed):
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--help"], **fixed)
        assert end.value.code == 0
        return capsys.readouterr().out

    return help_of


@pytest.mark.parametrize("module", NAMES)
def test_names_are_where_programs_import_them(module):
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


def test_experiments_keep_their_names():
    from sebre.experiments import EXPERIMENTS as found

    assert [name for name in EXPERIMENTS if name not in found] == []


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_takes_what_it_took(help_of, verb):
    text = help_of(verb)
    wanted = {word for word in COMMANDS[verb].split() if word.startswith("--")}
    assert wanted - options(text) == set()
    if "EXPERIMENT" in COMMANDS[verb]:
        assert [name for name in EXPERIMENTS if name not in text] == []
    if "SOURCE" in COMMANDS[verb]:
        assert [name for name in SOURCES if name not in text] == []


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb not in WITHOUT_EXPERIMENT])
def test_a_script_takes_the_same_without_the_experiment(help_of, verb):
    text = help_of(verb, experiment="ibsr")
    wanted = {word for word in COMMANDS[verb].split() if word.startswith("--")}
    assert wanted - options(text) == set()


def test_the_command_is_installed_under_its_name():
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="sebre")
    assert callable(command.load())
