"""Trains on brain sections: first the heads, then all layers; then mAP on random sections."""

import os

import numpy as np
from programs import brain_sections
from programs.brain_sections import BrainConfig, BrainDataset_Train, BrainDataset_Val

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.model import log


class InferenceConfig(BrainConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


def main(dataset_dir, model_dir):
    brain_sections.DATASET_DIR = dataset_dir
    config = BrainConfig()
    dataset_train, dataset_val = BrainDataset_Train(), BrainDataset_Val()
    for dataset in (dataset_train, dataset_val):
        dataset.load_brain()
        dataset.prepare()

    model = modellib.MaskRCNN(mode="training", config=config, model_dir=model_dir)
    datasets = dataset_train, dataset_val
    model.train(*datasets, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads")
    model.train(*datasets, learning_rate=config.LEARNING_RATE / 10, epochs=2, layers="all")
    weights_path = os.path.join(model_dir, "brain_weights.h5")
    model.keras_model.save_weights(weights_path)

    config = InferenceConfig()
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=model_dir)
    model_path = model.find_last()[1]
    assert model_path != "", "Provide path to trained weights"
    model.load_weights(model_path, by_name=True)

    APs = []
    for image_id in np.random.choice(dataset_val.image_ids, 3):
        image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
            dataset_val, config, image_id, use_mini_mask=False
        )
        log("gt_mask", gt_mask)
        r = model.detect([image], verbose=0)[0]
        AP, precisions, recalls, overlaps = utils.compute_ap(
            gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"]
        )
        APs.append(AP)
    return {"model_path": model_path, "weights_path": weights_path, "APs": APs, "val": dataset_val}
