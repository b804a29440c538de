# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own sections: from painted overlays to regions found
#
# Sections with regions painted in colors become a prepared data set; a network is trained on
# most of them and finds the regions in the others. (The training data of the paper were painted
# in this way, and read by the released notebook `custom_dataset_create`.)
#
# **Data**: so that everything runs as it stands, the notebook first makes what you would export
# from a drawing program: the 38 embedded training sections of `datasets/slicemap`, with cortex,
# hippocampus and cerebellum painted in the colors of the released notebook. The network starts
# from `extended_mouse_mri`, trained on MRI slices of mouse brains for other regions. That network
# started from `slicemap`, which was trained on these very 38 sections. So what is held out below
# was seen before, and the scores show that everything works, not how well it works on new sections.
#
# **For your own**: let `RAW` be the path of your folder, `DATA` and `LOGS` folders that you want
# to keep, and leave out the two cells before the first picture. `RAW` holds
#
# - `images/`: the sections, `<anything>_<number>.png` (or JPEG, TIFF);
# - `overlays/`: for each section a picture of the same size and number, with the regions painted;
# - `regions.csv`: the regions and their colors, in the columns `name,r,g,b`;
# - `sections.csv`, which may be left out: one row per section, in the columns `section` (its
#   number), `subject`, `age`, `marker` and what else you know.

# %%
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from mrcnn import visualize
from mrcnn.model import load_image_gt
from sebre.data.check import check
from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP, Region, RegionSet, read_regions
from sebre.drawing.contact_sheet import save_sheet
from sebre.evaluation.evaluate import evaluate_sections
from sebre.evaluation.section import sheet_row
from sebre.evaluation.summary import summarize
from sebre.experiments import EXPERIMENTS
from sebre.inspect.stage_figures import show_losses
from sebre.networks.segmenter import load_segmenter, read_image
from sebre.networks.train import train
from sebre.predict.measures import region_rows
from sebre.prepare.build import build
from sebre.prepare.color_matching import downsample_labels, match_colors, match_exactly
from sebre.prepare.painting import paint_overlays
from sebre.prepare.sources import read_source
from sebre.prepare.sources.image_pairs import find_pairs

# %%
folder = TemporaryDirectory()
HOME = Path(folder.name)
RAW, DATA, LOGS = HOME / "raw", HOME / "mine", HOME / "logs"
SHRINK = 4  # sides of pictures and overlays are divided by it

# %% [markdown]
# ## What a drawing program exports
#
# This stands in for your own drawing. The sections are 84 x 84 px and are painted at four times
# that size. (`paint_overlays` turns the regions of any prepared data set into overlays, to correct
# them by hand.)

# %%
painted = RegionSet(
    "painted",
    (
        Region(1, "cortex", "Ctx", (242, 25, 60)),
        Region(2, "hippocampus", "Hip", (255, 72, 101)),
        Region(3, "cerebellum", "Cb", (238, 93, 255)),
    ),
)

# %%
embedded = SectionDataset(SLICEMAP).load("../datasets/slicemap", "train")
embedded.prepare()
paint_overlays(embedded, painted, RAW, scale=SHRINK)

# %%
print((RAW / "regions.csv").read_text().strip())
pair = find_pairs(RAW, "overlays")[0]
_ = visualize.display_images([read_image(pair.image), read_image(pair.drawing)], cols=4)

# %% [markdown]
# ## From colors to regions
#
# Each pixel takes the region of the nearest color within a tolerance, at full resolution; lines
# and letters drawn over a region are filled. The released notebook shrinks the overlay first and
# then looks for the exact color (`exact`), which loses every pixel whose color is not quite the
# same. With an overlay saved as PNG both agree. Saved as JPEG, the exact match loses most of the
# regions:

# %%
regions = read_regions(RAW / "regions.csv")
as_jpeg = HOME / "overlay.jpg"
Image.open(pair.drawing).convert("RGB").save(as_jpeg, quality=90)

# %%
rows = [["REGION", *regions.names]]
for path in (pair.drawing, as_jpeg):
    nearest = downsample_labels(match_colors(path, regions).labels, SHRINK)
    exact = match_exactly(path, regions, SHRINK)
    rows.append([f"{path.suffix}, nearest", *(np.sum(nearest == r.id) for r in regions)])
    rows.append([f"{path.suffix}, exact", *(np.sum(exact == r.id) for r in regions)])
_ = visualize.display_table(rows)

# %% [markdown]
# ## The prepared data set
#
# The same as `sebre prepare colour-code --raw RAW --out DATA --downsample 4`: a third of the
# sections, drawn at random, is held out. Where `sections.csv` names the subjects, `--split
# subject:1/3` keeps the sections of an animal together; only then do scores say something about new
# animals.

# %%
build(read_source("colour-code", RAW, {"downsample": SHRINK}), DATA)
Image.open(DATA / "contact_sheet.png").reduce(2)

# %% [markdown]
# `sebre check DATA` looks for what would spoil training: missing or empty masks, wrong sizes or
# numbers, the same picture in both parts. Look at the contact sheet too.

# %%
_ = visualize.display_table([f.severity, f.kind, f.problem] for f in check(DATA))

# %% [markdown]
# ## One section as the network gets it
#
# The picture is enlarged to 128 px. Each mask is cut out at its box and stored as a mini mask,
# which the mask head learns to draw.

# %%
experiment = replace(EXPERIMENTS["slicemap"], name="mine", regions=regions)
settings = {"NAME": "mine", "NUM_CLASSES": regions.num_classes, "IMAGES_PER_GPU": 2}
settings |= dict.fromkeys(("MAX_GT_INSTANCES", "DETECTION_MAX_INSTANCES"), len(regions))

# %%
sections = SectionDataset(regions).load(DATA, "train")
sections.prepare()
config = experiment.default.config(**settings)
picture, _, class_ids, _, masks = load_image_gt(sections, config, 0)
_, _, _, _, mini_masks = load_image_gt(sections, config, 0, use_mini_mask=True)
pictures = [picture, *np.moveaxis(masks, -1, 0), *np.moveaxis(mini_masks, -1, 0)]
names = [regions[int(i)].name for i in class_ids]
titles = ["section", *names, *(f"mini: {name}" for name in names)]
_ = visualize.display_images(pictures, titles, cols=8, cmap="gray")

# %% [markdown]
# ## Training
#
# `experiment` and `settings` hold all that is special about your regions: their names, their
# number, and that a section shows each of them once. Everything else is as for the embedded
# sections: the small network, any orientation. The network starts from `extended_mouse_mri`,
# without the layers that depend on the number of regions (`weights="none"` starts from random
# numbers and needs many more steps).
#
# 60 steps of two sections take about a minute and show that it works; the masks are still rough.
# For a network to be used, take 1,000 steps and more, and four sections per step
# (`IMAGES_PER_GPU`). For sections larger than these, raise `IMAGE_MIN_DIM` and `IMAGE_MAX_DIM`
# (multiples of 64); for bright ones, set `MEAN_PIXEL` to the mean color of the pictures.

# %%
settings["STEPS_PER_EPOCH"] = 12
start = "extended_mouse_mri"
model = train(experiment, DATA, start, LOGS, steps=[60], settings=settings, verbose=0)

# %%
segmenter = load_segmenter(model.find_last(), experiment)
held_out = SectionDataset(regions).load(DATA, "val")
held_out.prepare()
found = evaluate_sections(segmenter, held_out)

# %%
show_losses(segmenter.weights)

# %% [markdown]
# ## The sections that were held out
#
# mAP is the released code's: a region counts as found from a mask IoU of 0.5. In Dice, a region
# that was missed counts as 0. The best detection per region counts, from a score of 0.3 on (the
# paper: 0.9).

# %%
scores = summarize(found, regions).to_json()
print(f"{scores['n_sections']} sections, mAP {scores['map_paper']:.3f}")
print({name: f"Dice {dice:.3f}" for name, dice in scores["dice_per_region"].items()})

# %%
rows = [sheet_row(section, regions) for section in found[:6]]
save_sheet(rows, ("drawn", "found"), regions, HOME / "found.png", across=2)
Image.open(HOME / "found.png").reduce(2)

# %% [markdown]
# ## Use it
#
# The checkpoint and the `config.json` beside it are the network. `detect` takes pictures of any
# size; `sebre.predict.folders.detect_files` writes label maps, overlays and a table for whole
# folders.

# %%
result = segmenter.detect([found[0].image])[0]
rows = region_rows(found[0].name, result, regions)
columns = ("image", "region", "found", "score", "area_px", "y1", "x1", "y2", "x2")
cells = [[row.get(column, "") for column in columns] for row in rows]
_ = visualize.display_table([columns, *cells])

# %%
folder.cleanup()
