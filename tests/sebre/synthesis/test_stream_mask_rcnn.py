import numpy as np
import pytest

from mrcnn.errors import UserError
from mrcnn.model import MaskRCNN
from sebre.data.regions import ANY_SECTION
from sebre.networks.any_section import frame_of, placed_back, prepared
from sebre.synthesis.mask_rcnn import StreamConfig, StreamDataset, stream_labels, train_on_stream

TINY = {
    "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 64,
    "BACKBONE_WIDTH": 0.125,
    "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_CONV_FILTERS": 16,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 16,
    "MASK_CONV_FILTERS": 8,
    "POST_NMS_ROIS_TRAINING": 16,
    "POST_NMS_ROIS_INFERENCE": 16,
    "TRAIN_ROIS_PER_IMAGE": 8,
    "IMAGES_PER_GPU": 2,
    "STEPS_PER_EPOCH": 1,
    "WARMUP_STEPS": 0,
}


def test_sections_as_mask_rcnn_reads_them(volumes):
    sections = StreamDataset(volumes, 6, 48, seed=1)
    sections.prepare()
    assert sections.class_names[1:] == ANY_SECTION.names and sections.num_images == 6
    for number in sections.image_ids:
        image, (masks, class_ids) = sections.load_image(number), sections.load_mask(number)
        assert image.shape == (48, 48, 3) and image.dtype == np.uint8
        assert masks.shape == (48, 48, len(class_ids)) and masks.any(axis=(0, 1)).all()
        assert set(class_ids) <= {region.id for region in ANY_SECTION}
        assert masks.sum(axis=-1).max() <= 1
    again = StreamDataset(volumes, 9, 48, seed=1)
    again.prepare()
    assert np.array_equal(again.load_mask(2)[0], sections.load_mask(2)[0])
    assert np.array_equal(again.load_image(2), sections.load_image(2))


def test_a_run_goes_on_and_finds_labels(volumes, tmp_path, op_by_op):
    first = train_on_stream(volumes, tmp_path, 1, **TINY)
    assert first.epoch == 1
    second = train_on_stream(volumes, tmp_path, 2, **TINY)
    assert second.epoch == 2 and second.log_dir == first.log_dir
    with pytest.raises(UserError, match=r"holds a run of other settings: volumes was"):
        train_on_stream(volumes[:1], tmp_path, 3, **TINY)
    kernels = [m.keras_model.get_layer("conv1").kernel for m in (first, second)]
    assert not np.array_equal(*kernels)
    config = StreamConfig().update(**{**TINY, "IMAGES_PER_GPU": 1, "DETECTION_MIN_CONFIDENCE": 0.0})
    model = MaskRCNN("inference", config, tmp_path)
    model.load_weights(second.find_last())
    gray = np.zeros((90, 70), np.float32)
    gray[20:60, 10:50] = 200
    labels = stream_labels(model, gray)
    assert labels.shape == gray.shape and labels.dtype == np.uint8


@pytest.mark.parametrize("angle", [0, 30])
def test_labels_of_a_square_lie_where_it_lay(angle):
    gray = np.zeros((120, 160), np.float32)
    rows, columns = np.mgrid[:120, :160]
    turn = np.radians(angle)
    along = (columns - 90) * np.cos(turn) + (rows - 50) * np.sin(turn)
    across = (rows - 50) * np.cos(turn) - (columns - 90) * np.sin(turn)
    gray[(np.abs(along) < 40) & (np.abs(across) < 22)] = 100
    frame = frame_of(gray, 0.9)
    square = prepared(gray, 128, frame) > 0.5
    back = placed_back(square.astype(np.uint8), gray.shape, frame) > 0
    wanted = gray > 0
    assert 2 * (back & wanted).sum() / (back.sum() + wanted.sum()) > 0.96
