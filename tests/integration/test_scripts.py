"""The scripts of the experiments, from raw data to regions."""

import pytest
from experiment_runs import run_experiment


@pytest.mark.parametrize("name", ["p14_mouse", "extended_mouse", "hippocampus", "ibsr"])
def test_from_raw_data_to_regions(name, data_dir, tmp_path, request):
    killed = name == "ibsr"
    if not killed:  # a few steps
        request.getfixturevalue("trains_op_by_op")
    run_experiment(name, data_dir, tmp_path, killed)
