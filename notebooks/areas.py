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
# # Areas: a stack with two annotated sections
#
# Areas of the cortex differ in the size, density and layers of their cells. An anatomist draws them
# on a few sections of a stack; the sections between are filled.
#
# **Data**: the environment variable `SEBRE_AREA_STACK` is the path of a stack with labels, such as
# `sebre areas prepare` makes of the Nissl plates of the Allen Reference Atlas. Without it a stack
# is made up: a quarter of a ring of cortex, three areas that differ in gray, and whose borders
# move by three degrees from section to section.

# %%
import os
import tempfile

import numpy as np
from matplotlib import pyplot as plt

from sebre.areas.alignment import Alignment
from sebre.areas.area_scores import mean_dice, score_areas
from sebre.areas.atlas_prior import BLUR_UM, Neighbors, blurred
from sebre.areas.filled_files import mesh, open_edges, regular
from sebre.areas.filling import FillSettings, fill
from sebre.areas.pretraining.ribbon import geodesic_distances, middle_points
from sebre.areas.stacks import Stack, open_stack

STACK = os.environ.get("SEBRE_AREA_STACK")
FIRST, LAST = 0, 6  # annotated sections, by number

# %%
if STACK:
    stack = open_stack(STACK).sections(range(FIRST, LAST + 1))
    method = "elastix"
else:
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 80))
    away = np.hypot(rows - 88, columns)
    angle = np.degrees(np.arctan2(88 - rows, columns + 1e-6))
    ring = (away >= 48) & (away < 72) & (rows < 88)
    borders = [(25 + 3 * n, 55 + 3 * n) for n in range(7)]
    labels = np.stack([np.where(ring, 1 + np.digitize(angle, b), 0) for b in borders])
    gray = np.array([40, 90, 140, 190])[labels] + rng.normal(0, 8, labels.shape)
    images = np.clip(gray * (away < 72), 0, 255).astype(np.uint8)
    names = tuple(str(60 + n) for n in range(7))
    places = 6.0 + 0.1 * np.arange(7)
    stack = Stack(names, images, places, 50.0, labels.astype(np.uint8), ("A", "B", "C"))
    method = "none"  # made-up sections lie as they should
first, last = 0, len(stack) - 1
print(f"{len(stack)} sections of {stack.images.shape[1:]} pixels of {stack.pixel_um} um")
print("areas:", ", ".join(stack.areas))


# %%
def show(pictures, titles):
    """Pictures side by side; labels in colors."""
    _, axes = plt.subplots(1, len(pictures), figsize=(2.4 * len(pictures), 2.8))
    for ax, picture, title in zip(axes, pictures, titles, strict=True):
        shown = picture.dtype == np.uint8 and picture.max() <= len(stack.areas)
        ax.imshow(picture, cmap="tab20" if shown else "gray", interpolation="nearest")
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()


middle = (first + last) // 2
show(
    [stack.images[first], stack.images[middle], stack.labels[first], stack.labels[last]],
    [f"section {stack.names[first]}", f"section {stack.names[middle]}", "annotated", "annotated"],
)

# %% [markdown]
# ## What neighbors let expect: the prior
#
# Labels of both annotated sections are carried inward, by registration from neighbor to neighbor,
# and averaged by nearness. Blurred, they are the weak prior that the network of `sebre areas
# train` sees beside the section: enough to know which areas to look for, not enough to copy their
# borders.

# %%
with tempfile.TemporaryDirectory() as kept:
    neighbors = Neighbors(stack, Alignment(stack.images, kept, method))
    expected = neighbors.expected(middle, [first, last])
    distances = geodesic_distances(
        stack, stack.labels > 0, points := middle_points(stack, stack.labels > 0), neighbors
    )
weak = blurred(expected, BLUR_UM / stack.pixel_um)
area = 1 + int(np.argmax(np.bincount(stack.labels[middle].ravel())[1:]))
show(
    [expected[..., area], weak[..., area], (stack.labels[middle] == area).astype(np.float32)],
    [f"{stack.areas[area - 1]} expected", "blurred", "drawn"],
)

# %% [markdown]
# ## The gap, filled
#
# `carried` takes the nearer annotated section's labels by registration; `shapes` lets the shapes of
# both pass into each other. `network` and `combined` train a small network on the annotated
# sections (a minute or two; not here).

# %%
results = {}
with tempfile.TemporaryDirectory() as out:
    for name in ("carried", "shapes"):
        results[name] = fill(stack, [first, last], out, FillSettings(name, registration=method))
for name, filled in results.items():
    scores = [
        score_areas(filled.stack.labels[n], stack.labels[n], stack.areas, stack.names[n])
        for n in range(first + 1, last)
    ]
    print(f"{name:8} mean Dice between the annotated sections {mean_dice(scores):.3f}")
show(
    [stack.labels[middle], *(filled.stack.labels[middle] for filled in results.values())],
    ["drawn", *results],
)

# %% [markdown]
# How sure is it? Where what comes from the two sides disagrees, a further annotated section helps
# most.

# %%
filled = results["shapes"]
for name, confidence in zip(stack.names, filled.confidence, strict=True):
    print(f"section {name}: confidence {confidence:.2f}")
print("annotate next:", stack.names[filled.next_section])

# %% [markdown]
# ## Distances along the cortex
#
# `sebre areas pretrain` learns from sections without areas: a network sees two patches of the
# cortex and tells how far apart they lie, along the cortex and from section to section. These are
# the distances from one point.

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3))
for ax, n in zip(axes, (first, middle, last), strict=True):
    here = points.section == n
    ax.imshow(stack.images[n], cmap="gray")
    rows, columns = points.place[here].T
    drawn = ax.scatter(columns, rows, c=distances[0, here], vmin=0, vmax=distances[0].max(), s=20)
    ax.set_axis_off()
    ax.set_title(f"section {stack.names[n]}", fontsize=9)
fig.colorbar(drawn, ax=axes, label="mm")
print(f"{len(points)} points, at most {distances.max():.1f} mm apart")

# %% [markdown]
# ## In three dimensions

# %%
volume, spacing = regular(filled.stack, filled.stack.labels)
surfaces = mesh(volume, stack.areas, spacing, stack.pixel_um / 1000)
for name, (corners, triangles) in surfaces.items():
    a, b, c = (corners[triangles[:, n]] for n in range(3))
    size = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    print(f"{name}: {size:.3f} mm3, {len(triangles)} triangles, {open_edges(triangles)} open edges")
