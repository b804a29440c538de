"""The same class id is the same region wherever it is met, or it is refused."""

import json
import logging
import unicodedata

import pytest
from named_sets import named_set, region_set

from sebre.data.check import check
from sebre.data.dataset import SectionDataset
from sebre.data.region_names import misnamed, order_of, recorded_regions, same_names
from sebre.data.regions import MOUSE, SLICEMAP, safe_name

NAMES = ("cortex", "hippocampus", "left_caudate")
REGIONS = region_set(*NAMES)


@pytest.mark.parametrize(
    ("names", "wanted", "order"),
    [
        (("a", "b"), ("a", "b"), [0, 1, 2]),
        (("a", "b", "c"), ("c", "a", "b"), [0, 3, 1, 2]),
        (("Basal Ganglia", "b"), ("b", "basal-ganglia"), [0, 2, 1]),
        (("a", "b"), ("a", "b", "c"), None),
        (("a", "b", "c"), ("a", "b"), None),
        (("left_a", "b"), ("right_a", "b"), None),
        (("a", "a"), ("a", "b"), None),
        (("a", "a"), ("a", "a"), None),
        (("IC", "ic"), ("IC", "ic"), [0, 1, 2]),
        (("IC", "ic"), ("ic", "IC"), [0, 2, 1]),
        (("IC", "ic"), ("Ic", "ic"), None),
        (("IC", "CB"), ("cb", "ic"), [0, 2, 1]),
    ],
)
def test_the_order_of_one_set_in_another(names, wanted, order):
    assert order_of(names, wanted) == order


def test_spellings_are_joined_only_where_they_join_no_two_names():
    assert same_names(["IC", "ic", "Cb"], ["ic", "CB", "IC"]) == {
        "IC": "IC",
        "ic": "ic",
        "Cb": "CB",
    }
    assert same_names(["Ic"], ["IC", "ic"]) == same_names(["IC", "ic"], ["Ic"]) == {}


def test_accents_in_two_forms_are_one_name(tmp_path):
    composed, apart = (unicodedata.normalize(form, "cortex_préfrontal") for form in ("NFC", "NFD"))
    assert composed != apart and safe_name(apart) == composed
    assert order_of([apart, "b"], ["b", composed]) == [0, 2, 1]
    assert same_names([apart.upper()], [composed]) == {apart.upper(): composed}
    regions = region_set("b", composed)
    for name, wrong in ((apart, 1), (composed, 1)):
        assert [*misnamed([(2, tmp_path / f"s_1_{name}_m2.png")], regions)] == []
        assert len([*misnamed([(wrong, tmp_path / f"s_1_{name}_m1.png")], regions)]) == 1


def test_regions_that_capitals_tell_apart_keep_their_ids(tmp_path):
    root = named_set(tmp_path / "set", ("IC", "ic"))
    assert len(load(root, region_set("IC", "ic")).image_info) == 2
    with pytest.raises(ValueError, match="The same in another order"):
        load(root, region_set("ic", "IC"))
    (root / "dataset.json").unlink()
    with pytest.raises(ValueError, match=r"named for the region IC, but class id 1 is ic"):
        load(root, region_set("ic", "IC"))
    assert [f for f in check(root) if f.kind == "region name"] == []
    wrong = root / "mrcnn_train_dataset_masks/section_masks_1/section_masks_1_ic_m1.png"
    wrong.with_name("section_masks_1_IC_m1.png").rename(wrong)
    (finding,) = (f for f in check(root) if f.kind == "region name")
    assert (finding.path, finding.problem) == (
        wrong,
        "class id 1 is IC in other sections, not ic.",
    )


def load(root, regions=REGIONS, subset="train"):
    return SectionDataset(regions).load(root, subset)


@pytest.mark.parametrize("where", [{"in_files": False}, {"recorded": False}, {}])
def test_a_data_set_of_the_same_names_is_read_without_a_word(tmp_path, caplog, where):
    assert len(load(named_set(tmp_path / "set", NAMES, **where)).image_info) == 2
    assert caplog.records == []


OTHERS = {
    "permuted": ("hippocampus", "cortex", "left_caudate"),
    "one fewer": NAMES[:2],
    "one more": (*NAMES, "thalamus"),
    "another side": (*NAMES[:2], "right_caudate"),
    "without a side": (*NAMES[:2], "caudate"),
    "all others": ("a", "b", "c"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_data_set_of_other_names_is_refused_with_both_lists(tmp_path, case):
    root = named_set(tmp_path / "set", OTHERS[case])
    with pytest.raises(ValueError, match="the data set has the regions 1 ") as caught:
        load(root)
    assert str(root / "dataset.json") in str(caught.value)
    for names in (NAMES, OTHERS[case]):
        assert ", ".join(f"{i} {name}" for i, name in enumerate(names, start=1)) in str(
            caught.value
        )
    assert ("The same in another order" in str(caught.value)) == (case == "permuted")
    assert "--regions-of" in str(caught.value)


@pytest.mark.parametrize("case", [case for case in OTHERS if case not in ("one fewer", "one more")])
def test_names_of_masks_are_enough_to_refuse(tmp_path, case):
    root = named_set(tmp_path / "set", OTHERS[case], recorded=False)
    with pytest.raises(ValueError, match=r"named for the region .*, but class id \d is .* rename"):
        load(root)


def test_names_of_masks_against_dataset_json(tmp_path):
    root = named_set(tmp_path / "set", NAMES)
    path = root / "mrcnn_train_dataset_masks/section_masks_1/section_masks_1_cortex_m1.png"
    path.rename(path.with_name("section_masks_1_hippocampus_m1.png"))
    with pytest.raises(ValueError, match="section_masks_1_hippocampus_m1.png: named for the reg"):
        load(root)
    (finding,) = (f for f in check(root) if f.kind == "region name")
    assert (finding.severity, finding.path.name) == ("error", "section_masks_1_hippocampus_m1.png")
    assert len(SectionDataset(REGIONS).load(root, "val").image_info) == 2


def test_without_any_names_the_assumption_is_said(tmp_path, caplog):
    root = named_set(tmp_path / "set", NAMES, recorded=False, in_files=False)
    assert len(load(root).image_info) == 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = "taken to be those of mine: 1 cortex, 2 hippocampus, 3 left_caudate."
    assert record.getMessage().startswith(str(root)) and text in record.getMessage()


@pytest.mark.parametrize(
    "stem",
    ["a_3_slice_12_cortex_m1", "cortex_m1", "x_m1", "s_1_Ctx_m1", "s_1_Cortex_m_1", "6_1", "m1"],
)
def test_names_that_say_nothing_else(tmp_path, stem):
    assert [*misnamed([(1, tmp_path / f"{stem}.png")], MOUSE)] == []


def test_a_word_that_several_masks_share_is_no_region(tmp_path):
    files = [(i, tmp_path / f"mouse_3_mask_m{i}.png") for i in (1, 2)]
    assert [*misnamed(files, MOUSE)] == []
    assert len([*misnamed([(1, tmp_path / "s_3_brainstem_m1.png")], MOUSE)]) == 1
    assert len([*misnamed([(1, tmp_path / "hippocampus_m1.png")], MOUSE)]) == 1


@pytest.mark.parametrize(
    "stem, class_id, refused",
    [
        ("section_masks_0_CA1", 1, True),  # 1 is the cortex
        ("section_masks_0_CA3", 3, False),
        ("CA1", 1, True),
        ("CA1_2", 2, False),
        ("s_0_ca1_1", 1, True),
        ("section_masks_0_cortex_3", 3, True),
        ("section_masks_0_cortex_1", 1, False),
        ("section_masks_0_CA2", 2, True),  # of no region, but its number is 2
        ("section_masks_0_mask2", 2, False),
        ("mask2", 2, False),
        ("x_y2", 2, False),
        ("section_masks_0_2", 2, False),
    ],
)
def test_a_number_may_be_that_of_a_name(tmp_path, stem, class_id, refused):
    regions = region_set("cortex", "CA1", "CA3")
    found = [*misnamed([(class_id, tmp_path / f"{stem}.png")], regions)]
    assert bool(found) == refused
    root = named_set(tmp_path / "set", regions.names)
    folder = root / "mrcnn_train_dataset_masks/section_masks_0"
    (old,) = folder.glob(f"*_m{class_id}.png")
    old.rename(folder / f"{stem}.png")
    if not refused:
        return load(root, regions) and None
    with pytest.raises(ValueError, match=rf"{stem}.png: named for the region .*, but class id"):
        load(root, regions)


def test_masks_of_ones_own_are_compared_too(tmp_path, caplog):
    root = named_set(tmp_path / "set", NAMES)
    image = root / "mrcnn_val_dataset_images/section_img_0.png"
    masks = root / "mrcnn_val_dataset_masks/section_masks_0"
    for regions in (SLICEMAP, region_set("cortex", "left_caudate", "hippocampus")):
        with pytest.raises(ValueError, match=r"dataset.json: the data set has the regions 1 cor"):
            SectionDataset(regions).add_section("one", image, masks)
    moved = tmp_path / "alone"
    masks.rename(moved)
    with pytest.raises(ValueError, match="left_caudate_m3.png: named for the region left_caudate"):
        SectionDataset(SLICEMAP).add_section("one", image, moved)
    SectionDataset(REGIONS).add_section("one", image, moved)
    assert caplog.records == []


def test_regions_that_a_data_set_records(tmp_path):
    assert recorded_regions(tmp_path) is None
    path = tmp_path / "dataset.json"
    for text in ('{"name": "x"}', "[]"):
        path.write_text(text)
        assert recorded_regions(tmp_path) is None
    path.write_text(json.dumps(SLICEMAP.to_json()))
    assert recorded_regions(tmp_path).names == SLICEMAP.names
    for text, message in (("{", "not JSON"), ('{"regions": [{"id": 1}]}', "cannot be read")):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"dataset.json: .*{message}"):
            recorded_regions(tmp_path)
