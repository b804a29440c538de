"""The notebooks that belong to no experiment run."""

import pytest
from notebook_runs import names, run


@pytest.mark.parametrize("name", [name for name in names() if name != "own_data"])
def test_notebook(name):
    run(name)


def test_own_data_finds_the_regions_that_were_painted():
    scores = run("own_data", "scores")
    assert scores["n_sections"] >= 10
    assert scores["map_paper"] > 0.6
    assert set(scores["dice_per_region"]) == {"cortex", "hippocampus", "cerebellum"}
    assert min(scores["dice_per_region"].values()) > 0.4
