"""Trains on COCO annotations with crowds and evaluates with COCO's own code."""

import os

import numpy as np
from pycocotools import mask as maskUtils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn import model as modellib
from mrcnn import utils
from mrcnn.config import Config


class CocoConfig(Config):
    NAME = "coco"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 2
    BACKBONE = "resnet50"
    TOP_DOWN_PYRAMID_SIZE = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 128
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 16
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 50
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1


class CocoDataset(utils.Dataset):
    def load_coco(self, dataset_dir, subset):
        coco = COCO(os.path.join(dataset_dir, f"instances_{subset}.json"))
        image_dir = os.path.join(dataset_dir, subset)
        class_ids = sorted(coco.getCatIds())
        for i in class_ids:
            self.add_class("coco", i, coco.loadCats(i)[0]["name"])
        for i in coco.imgs:
            self.add_image(
                "coco",
                image_id=i,
                path=os.path.join(image_dir, coco.imgs[i]["file_name"]),
                width=coco.imgs[i]["width"],
                height=coco.imgs[i]["height"],
                annotations=coco.loadAnns(
                    coco.getAnnIds(imgIds=[i], catIds=class_ids, iscrowd=None)
                ),
            )
        return coco

    def load_mask(self, image_id):
        image_info = self.image_info[image_id]
        instance_masks, class_ids = [], []
        for annotation in image_info["annotations"]:
            class_id = self.map_source_class_id(f"coco.{annotation['category_id']}")
            if not class_id:
                continue
            m = self.annToMask(annotation, image_info["height"], image_info["width"])
            if m.max() < 1:
                continue
            if annotation["iscrowd"]:
                class_id *= -1
            instance_masks.append(m)
            class_ids.append(class_id)
        if not class_ids:
            return super().load_mask(image_id)
        return np.stack(instance_masks, axis=2).astype(bool), np.array(class_ids, dtype=np.int32)

    def image_reference(self, image_id):
        return f"http://cocodataset.org/#explore?id={self.image_info[image_id]['id']}"

    def annToMask(self, ann, height, width):
        segm = ann["segmentation"]
        if isinstance(segm, list):
            rle = maskUtils.merge(maskUtils.frPyObjects(segm, height, width))
        elif isinstance(segm["counts"], list):
            rle = maskUtils.frPyObjects(segm, height, width)
        else:
            rle = segm
        return maskUtils.decode(rle)


def build_coco_results(dataset, image_ids, rois, class_ids, scores, masks):
    results = []
    for image_id in image_ids:
        for i in range(rois.shape[0]):
            bbox = np.around(rois[i], 1)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": dataset.get_source_class_id(class_ids[i], "coco"),
                    "bbox": [bbox[1], bbox[0], bbox[3] - bbox[1], bbox[2] - bbox[0]],
                    "score": scores[i],
                    "segmentation": maskUtils.encode(
                        np.asfortranarray(masks[:, :, i].astype(np.uint8))
                    ),
                }
            )
    return results


def evaluate(detect, dataset, coco, eval_type):
    """Statistics of COCO for what `detect` gives for each image, None for no detection."""
    results = []
    for image_id in dataset.image_ids:
        r = detect(image_id)
        results.extend(
            build_coco_results(
                dataset,
                [dataset.image_info[image_id]["id"]],
                r["rois"],
                r["class_ids"],
                r["scores"],
                r["masks"],
            )
        )
    if not results:
        return None
    cocoEval = COCOeval(coco, coco.loadRes(results), eval_type)
    cocoEval.params.imgIds = [info["id"] for info in dataset.image_info]
    cocoEval.evaluate()
    cocoEval.accumulate()
    cocoEval.summarize()
    return cocoEval.stats


def main(dataset_dir, logs):
    import imgaug

    dataset_train, dataset_val = CocoDataset(), CocoDataset()
    dataset_train.load_coco(dataset_dir, "train")
    dataset_train.prepare()
    coco = dataset_val.load_coco(dataset_dir, "val")
    dataset_val.prepare()

    config = CocoConfig()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    augmentation = imgaug.augmenters.Fliplr(0.5)
    model.train(
        dataset_train,
        dataset_val,
        learning_rate=config.LEARNING_RATE,
        epochs=1,
        layers="4+",
        augmentation=augmentation,
    )

    class InferenceConfig(CocoConfig):
        GPU_COUNT = 1
        IMAGES_PER_GPU = 1
        DETECTION_MIN_CONFIDENCE = 0

    model = modellib.MaskRCNN(mode="inference", config=InferenceConfig(), model_dir=logs)
    model.load_weights(model.find_last(), by_name=True)

    detections = []

    def detect(image_id):
        detections.append(model.detect([dataset_val.load_image(image_id)], verbose=0)[0])
        return detections[-1]

    def perfect(image_id):
        masks, class_ids = dataset_val.load_mask(image_id)
        real = class_ids > 0
        return {
            "rois": utils.extract_bboxes(masks[..., real]),
            "class_ids": class_ids[real],
            "scores": np.ones(real.sum(), np.float32),
            "masks": masks[..., real],
        }

    evaluate(detect, dataset_val, coco, "bbox")
    return {
        "dataset": dataset_val,
        "detections": detections,
        "stats": evaluate(perfect, dataset_val, coco, "segm"),
    }
