"""Trains on crops of images with one PNG a nucleus, then writes run lengths."""

import os

import numpy as np
import skimage.io

from mrcnn import model as modellib
from mrcnn import utils, visualize
from mrcnn.config import Config


class NucleusConfig(Config):
    NAME = "nucleus"
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 1 + 1
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    DETECTION_MIN_CONFIDENCE = 0
    BACKBONE = "resnet50"
    TOP_DOWN_PYRAMID_SIZE = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 128
    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    IMAGE_MIN_SCALE = 2.0
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 60
    RPN_NMS_THRESHOLD = 0.9
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    MEAN_PIXEL = np.array([43.53, 39.56, 48.22])
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)
    TRAIN_ROIS_PER_IMAGE = 16
    MAX_GT_INSTANCES = 20
    DETECTION_MAX_INSTANCES = 40


class NucleusInferenceConfig(NucleusConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    IMAGE_RESIZE_MODE = "pad64"
    RPN_NMS_THRESHOLD = 0.7


class NucleusDataset(utils.Dataset):
    def load_nucleus(self, dataset_dir, image_ids):
        self.add_class("nucleus", 1, "nucleus")
        for image_id in image_ids:
            self.add_image(
                "nucleus",
                image_id=image_id,
                path=os.path.join(dataset_dir, image_id, "images", f"{image_id}.png"),
            )

    def load_mask(self, image_id):
        info = self.image_info[image_id]
        mask_dir = os.path.join(os.path.dirname(os.path.dirname(info["path"])), "masks")
        mask = []
        for f in next(os.walk(mask_dir))[2]:
            if f.endswith(".png"):
                mask.append(skimage.io.imread(os.path.join(mask_dir, f)).astype(bool))
        mask = np.stack(mask, axis=-1)
        return mask, np.ones([mask.shape[-1]], dtype=np.int32)

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        if info["source"] == "nucleus":
            return info["id"]
        return super(self.__class__, self).image_reference(image_id)


def rle_encode(mask):
    """Starts (from 1) and lengths of the runs of a mask, read column by column."""
    flat = np.concatenate([[0], mask.T.flatten(), [0]]).astype(np.int8)
    starts = np.where(np.diff(flat) == 1)[0] + 1
    ends = np.where(np.diff(flat) == -1)[0] + 1
    return " ".join(f"{s} {e - s}" for s, e in zip(starts, ends, strict=True))


def mask_to_rle(image_id, mask, scores):
    """Lines of a submission; a pixel belongs to the best-scored nucleus alone."""
    if mask.shape[-1] == 0:
        return f"{image_id},"
    order = np.argsort(scores)[::-1] + 1
    mask = np.max(mask * np.reshape(order, [1, 1, -1]), -1)
    lines = []
    for o in order:
        m = np.where(mask == o, 1, 0)
        if m.sum() == 0.0:
            continue
        lines.append(f"{image_id}, {rle_encode(m)}")
    return "\n".join(lines)


def train(model, dataset_dir, train_ids, val_ids):
    from imgaug import augmenters as iaa

    dataset_train = NucleusDataset()
    dataset_train.load_nucleus(dataset_dir, train_ids)
    dataset_train.prepare()
    dataset_val = NucleusDataset()
    dataset_val.load_nucleus(dataset_dir, val_ids)
    dataset_val.prepare()
    augmentation = iaa.SomeOf(
        (0, 2),
        [
            iaa.Fliplr(0.5),
            iaa.Flipud(0.5),
            iaa.OneOf([iaa.Affine(rotate=90), iaa.Affine(rotate=180), iaa.Affine(rotate=270)]),
            iaa.Multiply((0.8, 1.5)),
            iaa.GaussianBlur(sigma=(0.0, 5.0)),
        ],
    )
    rate = model.config.LEARNING_RATE
    model.train(
        dataset_train,
        dataset_val,
        learning_rate=rate,
        epochs=1,
        augmentation=augmentation,
        layers="heads",
    )
    model.train(
        dataset_train,
        dataset_val,
        learning_rate=rate,
        epochs=2,
        augmentation=augmentation,
        layers="all",
    )
    return dataset_val


def main(dataset_dir, train_ids, val_ids, logs, out_dir):
    model = modellib.MaskRCNN(mode="training", config=NucleusConfig(), model_dir=logs)
    dataset = train(model, dataset_dir, train_ids, val_ids)

    config = NucleusInferenceConfig()
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    model.load_weights(model.find_last(), by_name=True)
    submission, results = ["ImageId,EncodedPixels"], []
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        r = model.detect([image], verbose=0)[0]
        source_id = dataset.image_info[image_id]["id"]
        submission.append(mask_to_rle(source_id, r["masks"], r["scores"]))
        visualize.display_instances(
            image,
            r["rois"],
            r["masks"],
            r["class_ids"],
            dataset.class_names,
            r["scores"],
            show_bbox=False,
            show_mask=False,
            figsize=(4, 4),
            title="Predictions",
        ).figure.savefig(os.path.join(out_dir, f"{source_id}.png"))
        results.append((image, r))
    with open(os.path.join(out_dir, "submit.csv"), "w") as file:
        file.write("\n".join(submission))
    return results
