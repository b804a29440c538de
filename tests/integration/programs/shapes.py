"""Trains on drawn squares, discs and triangles, then detects and scores them."""

import random

import numpy as np
from skimage.draw import disk, polygon

import mrcnn.model as modellib
from mrcnn import utils, visualize
from mrcnn.config import Config


class ShapesConfig(Config):
    NAME = "shapes"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 3
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


class InferenceConfig(ShapesConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


class ShapesDataset(utils.Dataset):
    def load_shapes(self, count, height, width):
        for class_id, name in enumerate(("square", "circle", "triangle"), start=1):
            self.add_class("shapes", class_id, name)
        for i in range(count):
            shapes = [self.random_shape(height, width) for _ in range(random.randint(1, 3))]
            self.add_image(
                "shapes", image_id=i, path=None, width=width, height=height, shapes=shapes
            )

    def random_shape(self, height, width):
        size = random.randint(12, height // 4)
        center = random.randint(size, height - size - 1), random.randint(size, width - size - 1)
        color = tuple(random.randint(60, 255) for _ in range(3))
        return random.choice(["square", "circle", "triangle"]), color, center, size

    def pixels(self, shape, center, size, image_shape):
        (y, x), s = center, size
        if shape == "circle":
            return disk((y, x), s, shape=image_shape)
        if shape == "square":
            return polygon([y - s, y - s, y + s, y + s], [x - s, x + s, x + s, x - s], image_shape)
        return polygon([y - s, y + s, y + s], [x, x - s, x + s], image_shape)

    def load_image(self, image_id):
        info = self.image_info[image_id]
        image = np.full((info["height"], info["width"], 3), 20, np.uint8)
        for shape, color, center, size in info["shapes"]:
            image[self.pixels(shape, center, size, image.shape[:2])] = color
        return image

    def load_mask(self, image_id):
        info = self.image_info[image_id]
        mask = np.zeros([info["height"], info["width"], len(info["shapes"])], bool)
        for i, (shape, _, center, size) in enumerate(info["shapes"]):
            rows, columns = self.pixels(shape, center, size, mask.shape[:2])
            # A later shape hides what lies below it.
            mask[rows, columns, :i] = False
            mask[rows, columns, i] = True
        class_ids = [self.class_names.index(shape[0]) for shape in info["shapes"]]
        return mask, np.array(class_ids, np.int32)

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        return info["shapes"] if info["source"] == "shapes" else super().image_reference(image_id)


def make_dataset(count, config):
    dataset = ShapesDataset()
    dataset.load_shapes(count, config.IMAGE_SHAPE[0], config.IMAGE_SHAPE[1])
    dataset.prepare()
    return dataset


def main(model_dir, picture):
    random.seed(3)
    config = ShapesConfig()
    config.display()
    dataset_train = make_dataset(6, config)
    dataset_val = make_dataset(3, config)

    for image_id in np.random.choice(dataset_train.image_ids, 2):
        image = dataset_train.load_image(image_id)
        mask, class_ids = dataset_train.load_mask(image_id)
        visualize.display_top_masks(image, mask, class_ids, dataset_train.class_names)

    model = modellib.MaskRCNN(mode="training", config=config, model_dir=model_dir)
    model.train(
        dataset_train, dataset_val, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads"
    )
    model.train(
        dataset_train,
        dataset_val,
        learning_rate=config.LEARNING_RATE / 10,
        epochs=2,
        layers="all",
    )

    inference_config = InferenceConfig()
    model = modellib.MaskRCNN(mode="inference", config=inference_config, model_dir=model_dir)
    model_path = model.find_last()
    model.load_weights(model_path, by_name=True)

    APs, results = [], []
    for image_id in dataset_val.image_ids:
        image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
            dataset_val, inference_config, image_id, use_mini_mask=False
        )
        modellib.log("original_image", image)
        modellib.log("image_meta", image_meta)
        molded_images = np.expand_dims(modellib.mold_image(image, inference_config), 0)
        modellib.log("molded", molded_images)
        r = model.detect([image], verbose=1)[0]
        AP, precisions, recalls, overlaps = utils.compute_ap(
            gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"]
        )
        APs.append(AP)
        results.append(r)

    names = dataset_val.class_names
    visualize.plot_precision_recall(AP, precisions, recalls)
    visualize.plot_overlaps(gt_class_id, r["class_ids"], r["scores"], overlaps, names)
    visualize.display_instances(
        image, r["rois"], r["masks"], r["class_ids"], names, r["scores"], figsize=(4, 4)
    ).figure.savefig(picture)

    anchors = utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )
    rpn_match, rpn_bbox = modellib.build_rpn_targets(
        image.shape, anchors, gt_class_id, gt_bbox, config
    )
    positive = np.where(rpn_match == 1)[0]
    refined = utils.apply_box_deltas(
        anchors[positive], rpn_bbox[: len(positive)] * config.RPN_BBOX_STD_DEV
    )
    overlaps = utils.compute_overlaps(refined, gt_bbox)

    generator = modellib.data_generator(
        dataset_train,
        config,
        shuffle=True,
        random_rois=20,
        batch_size=2,
        detection_targets=True,
    )
    batch = next(generator)
    return {
        "model_path": model_path,
        "APs": APs,
        "results": results,
        "refined_iou": overlaps.max(axis=1),
        "batch": batch,
        "n_anchors": len(anchors),
    }
