"""The examples in the docstrings of boxes and masks run and give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["boxes", "masks", "mask_formats"])
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"mrcnn.structures.{name}"))
    assert found.attempted > 0 and found.failed == 0
