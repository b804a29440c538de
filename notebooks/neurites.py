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
# # Neurites: from gray values to segments, by way of affinities
#
# Each voxel of a volume of electron microscopy belongs to the same neurite as the voxel before it
# along z, y and x, or it does not. These affinities are a graph; a network predicts it, and its
# connected parts are the neurites (M. Wiese, webKnossos, 2018).
#
# **Data**: the environment variable `SEBRE_EM_VOLUME` is the path of a volume with labels, such as
# FIB-25 training sample 2 (FlyEM, Janelia, CC BY 3.0) as an npz file of `raw`, `labels` and
# `voxel_nm`. Without it, a volume is made up of cells around random points, with dark borders and
# noise; the network that ships never saw anything like it.

# %%
import os

import numpy as np
from matplotlib import pyplot as plt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sebre.neurites.affinity_graph import affinities_of, eroded
from sebre.neurites.affinity_prediction import load_network
from sebre.neurites.cells import MemoryStore, read_box
from sebre.neurites.graph_picture import draw_affinity_graph, tinted
from sebre.neurites.scoring.segment_scores import score_segments, scored_bodies
from sebre.neurites.volume_files import EmVolume, open_volume
from sebre.neurites.whole_volumes import Decoding, segment

VOLUME = os.environ.get("SEBRE_EM_VOLUME")
FIRST, LAST, SIDE = 170, 194, 128  # sections and side of the part that is shown, voxels

# %%
if VOLUME:
    volume = open_volume(VOLUME).sections(FIRST, LAST)
    raw, labels = volume.raw[:, :SIDE, :SIDE], volume.labels[:, :SIDE, :SIDE]
else:
    rng = np.random.default_rng(0)
    shape = (LAST - FIRST, SIDE, SIDE)
    points = rng.uniform(0, shape, (40, 3))
    places = np.stack(np.indices(shape), axis=-1).reshape(-1, 3)
    labels = cKDTree(points).query(places)[1].reshape(shape) + 1
    gray = gaussian_filter(np.where(eroded(labels) > 0, 150.0, 60.0), 0.8)
    raw = np.clip(gray + rng.normal(0, 6, shape), 0, 255).astype(np.uint8)
    volume = EmVolume("made up", raw, (10.0, 10.0, 10.0), labels)
middle = len(raw) // 2
print(f"{volume.name}: {raw.shape} voxels of {volume.voxel_nm} nm, {len(np.unique(labels))} labels")

# %% [markdown]
# ## Gray values and labels

# %%
_, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
axes[0].imshow(raw[middle], cmap="gray")
axes[1].imshow(tinted(raw[middle], labels[middle]))
for ax in axes:
    ax.set_axis_off()

# %% [markdown]
# ## The affinity graph
#
# A part of the section, 16 x 16 voxels: an edge is blue where both of its ends are of one neurite,
# orange where they are not. Labels are eroded by a voxel first, so that a border is two edges wide.
# The part is the one with most borders.

# %%
wanted = affinities_of(labels, erode=True)
borders = (wanted[1:, middle] == 0).sum(axis=0)
corners = [(y, x) for y in range(0, SIDE - 15, 4) for x in range(0, SIDE - 15, 4)]
y, x = max(corners, key=lambda c: borders[c[0] : c[0] + 16, c[1] : c[1] + 16].sum())
part = (slice(y, y + 16), slice(x, x + 16))
_, ax = plt.subplots(figsize=(6, 6), layout="constrained")
draw_affinity_graph(ax, raw[middle][part], 255 * (wanted[1:, middle] == 1)[(slice(None), *part)])

# %% [markdown]
# ## Predicted affinities
#
# The network that ships gives six affinities for each voxel: to the one before it along z, y and x,
# and to those six away. Bright is 1.

# %%
network, store = load_network("neurites"), MemoryStore()
decoding = {method: Decoding.of(network, method) for method in ("components", "watershed")}
found = {}
for method, how in decoding.items():
    found[method] = segment(network, raw, how, store.sharing("affinities"))
lattice = network.lattice(raw.shape)
predicted = read_box(store, "affinities", lattice, tuple(slice(0, n) for n in raw.shape))

_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, edges, name in zip(axes, predicted, "zyx", strict=False):
    ax.imshow(edges[middle], cmap="gray")
    ax.set_title(f"along {name}")
    ax.set_axis_off()

# %%
known = wanted < 2
for name, edges, right, counted in zip("zyx", predicted, wanted, known, strict=False):
    shares = [np.mean((edges[counted & (right == v)] >= 128) == v) for v in (0, 1)]
    print(f"along {name}: {shares[0]:.1%} of the borders and {shares[1]:.1%} of the rest are right")

# %% [markdown]
# ## From affinities to segments
#
# Components are what a threshold leaves connected: one weak edge joins two neurites. Basins of a
# watershed that are merged by the mean affinity of their whole contact are harder to deceive.

# %%
_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
shown = {"labels": labels, **found}
for ax, (name, segments) in zip(axes, shown.items(), strict=True):
    ax.imshow(tinted(raw[middle], segments[middle]))
    ax.set_title(name)
    ax.set_axis_off()

# %% [markdown]
# ## Errors
#
# Variation of information in bits, for splits and for mergers, and the adapted Rand error; pairs of
# voxels, 8 apart along an axis, that are of two neurites and in one segment: mergers by direction.

# %%
bodies = scored_bodies(labels)
scores = {name: score_segments(bodies, segments) for name, segments in found.items()}
for name, score in scores.items():
    print(
        f"{name:10}  VI {score.vi_split:.2f} + {score.vi_merge:.2f}  Rand error "
        f"{score.rand_error:.3f}  merge errors {score.merge_errors}  "
        + "  ".join(f"{axis}: {share:.1%}" for axis, share in score.joined.items())
    )

# %% [markdown]
# The segment of the watershed that holds most of more than one neurite, beside them:

# %%
pairs, voxels = np.unique(
    np.stack([found["watershed"], bodies]).reshape(2, -1), axis=1, return_counts=True
)
second = {}
for segment_id in np.unique(pairs[0][pairs[0] > 0]):
    sizes = np.sort(voxels[(pairs[0] == segment_id) & (pairs[1] > 0)])
    second[segment_id] = sizes[-2] if len(sizes) > 1 else 0
worst = max(second, key=second.get)
inside = found["watershed"] == worst
number = int(np.argmax(inside.sum(axis=(1, 2))))
_, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
axes[0].imshow(tinted(raw[number], inside[number].astype(int)))
axes[0].set_title("one segment")
axes[1].imshow(tinted(raw[number], np.where(inside[number], bodies[number], 0)))
axes[1].set_title("the neurites in it")
for ax in axes:
    ax.set_axis_off()
