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
# # Published numbers beside ours
#
# Which scores the paper reports, which scores the shipped networks have, and how far the two can
# be compared. Three kinds of numbers never share a column or a panel: those **published**; **ours
# on the paper's own data**; and **ours on stand-in data**, public data with the same regions,
# which are named.
#
# **Data**: `results/*.json`, written by `sebre evaluate`; `results/registration/*.json`, written
# by `sebre register`; `results/splits/*.json`, of networks trained on the paper's kind of split;
# and the paper's numbers, which are part of the package (`sebre/report/published_scores.csv`). No
# network runs here. `sebre compare` writes the same tables and figures to `RESULTS.md`.
#
# **For your own**: give the folder that your `sebre evaluate ... --out FOLDER/NAME.json` wrote
# to, in place of `"../results"`. A new file shows up in every table and figure of its experiment.

# %%
from sebre.report.claims import stand_in_table, statements_table, verdicts_table
from sebre.report.curves import angles_figure
from sebre.report.details import failures_table, intervals_table, volumes_table
from sebre.report.figures import (
    ap_figure,
    dice_figure,
    failures_figure,
    reliability_figure,
    spread_figure,
    turned_figure,
)
from sebre.report.method_figures import methods_figure
from sebre.report.method_tables import (
    methods_dice_table,
    methods_table,
    networks_table,
    splits_table,
)
from sebre.report.page import claims_of, read_records
from sebre.report.published import find_scores
from sebre.report.records import of_network
from sebre.report.systems.rival_tables import rival_tables
from sebre.report.tables import dice_table, map_table, provenance_table, scores_table, table1

# %% [markdown]
# A file that is missing or damaged is named here, with the command that makes it again. The rest
# goes on without it.

# %%
records = read_records("../results")
results, published = of_network(records.results), records.published
print(
    f"{len(records.results)} results, {len(records.problems)} problems", *records.problems, sep="\n"
)

# %% [markdown]
# ## Where our numbers come from
#
# Each row is one file: the data set, how it was divided, what leaks between its parts, and the
# command. `val` is the part that took no part in training. "Leaks" is what a prepared data set
# says of itself: a test section from a brain that training has seen is easier than one from a new
# brain.

# %%
provenance_table(records.results, records.methods, records.splits)

# %% [markdown]
# ## Mean average precision
#
# The number that the paper gives for each experiment (Results). What it means is not written
# there; the released code takes, for each section, all regions together at a mask IoU of 0.5, and
# then the mean over sections. Ours is computed the same way.

# %%
for score in find_scores(published, metric="mAP"):
    print(f"{score.value}  {score.experiment}")

# %%
map_table(results, published)

# %% [markdown]
# A published score and ours in one row **cannot be ranked**:
#
# * Other data. The authors' drawings are not public (the section images are, at the Allen
#   Institute, which could not be reached here), and IBSR needs registration. Stand-in data have the
#   same regions, or most of them, but another stain or modality, another resolution, and labels
#   drawn by others or by a program. Masks under 10 or 20 px are left out of them; the paper leaves
#   out empty masks only.
# * Other splits. The paper's test sections come from brains that training has seen too: by
#   section for P14, hippocampus and IBSR. That is easier than a new brain. Ours are of new animals
#   or people in `mouse_mri` and `malc2012` only; see "leaks" above.
# * Other networks. The paper trains ResNet-101 from COCO weights on 384 px. The shipped networks
#   are ResNet-18 of half width, most of them with smaller input; their cards (`weights/`) say more.
# * Another cut-off. The paper keeps regions with a score of 0.9 or more, at most 8. The small
#   networks keep the best detection per region from 0.3 on: more regions are found, and more wrong
#   ones count. At 0.9 our mAP is lower, by up to 0.08; the cards give both.
# * Few sections. Where there are 7 or 12 test sections, one region more or less moves the mAP by
#   0.04 or 0.01: see the intervals below.
#
# What can be compared: rows of ours on the same data set, and the two columns of ours within a
# row.

# %% [markdown]
# Stricter measures of the same detections. AP50 pools each region over the whole test part, where
# the mAP above is taken section by section; COCO AP asks for an IoU of up to 0.95 as well, and is
# lower. The paper has neither.

# %%
scores_table(results)

# %% [markdown]
# ## How sure the scores are
#
# 95 % intervals, by resampling the test sections 2000 times. Where sections are slices of volumes,
# whole subjects are resampled, as neighboring slices resemble each other. The last column
# says what was resampled, and how many there are. With a handful of subjects the interval is too
# narrow, and it never covers another stain, scanner or seed.

# %%
intervals_table(results)

# %% [markdown]
# ## As they lie, and turned
#
# The paper trains and tests on rotated sections (20 versions, up to 20 degrees). Ours are scored
# as they lie, and again at random orientations. The closer the two marks, the less it matters how
# a section lies. Where there is one mark only, the result has no turned sections (`--draws 0`).

# %%
turned_figure(results)

# %% [markdown]
# The same by angle, as in the paper's Fig. 4: sections turned by fixed angles on a canvas that
# keeps its size. Bands are the 95 % intervals.

# %%
angles_figure(records.results)

# %% [markdown]
# ## Table 1
#
# Eight structures of the human brain (IBSR), columns of the paper on the left, ours on the right.
# The paper does not say whether its distances are in pixels or mm; our columns name their unit.
# The columns of F-CNN, QuickNAT and BrainSegNet are as the paper prints them; it does not say how
# they were obtained. If they are of volumes, our Dice by volume is nearer to them than our Dice by
# section.

# %%
table1(results, published)

# %% [markdown]
# Ours by volume: all sections of a subject stacked, with surfaces and distances in space.

# %%
volumes_table(results, "ibsr")

# %% [markdown]
# ## Dice by region
#
# Dice is the overlap with the drawn region, 1 for a perfect one. A region that was missed counts
# as 0, and a region that no section of a data set shows has no bar and no number. `n` is how many
# test sections show the region. Human MRI is the one experiment with published values for each
# region.

# %%
dice_table(results, published, "ibsr")

# %%
dice_figure(results, published, "ibsr")

# %% [markdown]
# The mouse brain from P4 to adult: one panel for each stand-in.

# %%
dice_table(results, published, "extended_mouse")

# %%
dice_figure(results, published, "extended_mouse")

# %% [markdown]
# The fields of the hippocampus, and the six regions of the embedded data set `slicemap`, which is
# no experiment of the paper.

# %%
dice_figure(results, published, "hippocampus")

# %%
dice_figure(results, published, "slicemap")

# %% [markdown]
# ## Average precision by region
#
# Over the whole test part, at a mask IoU of 0.5. A region whose IoU lies just under 0.5 on many
# sections has a fair Dice and a low AP.

# %%
ap_figure(results, "extended_mouse")

# %%
ap_figure(results, "ibsr")

# %%
ap_figure(results, "hippocampus")

# %% [markdown]
# ## What the means hide
#
# The Dice of each region on each section. Dots at 0 are sections on which the region was missed,
# or found elsewhere. A box spans the quartiles, its line is the median, whiskers reach the 5th
# and the 95th percentile. The paper shows no such distribution.

# %%
spread_figure(results, "extended_mouse")

# %%
spread_figure(results, "ibsr")

# %%
spread_figure(results, "slicemap")

# %% [markdown]
# ## Can the score be trusted?
#
# Each dot is a region that was found: its score, and its IoU with the drawn one. A line that
# rises says that a cut-off on the score removes the worse regions. The axis is stretched towards
# 1, where most scores lie. Regions that were found but are not drawn are not in this figure;
# `extra_per_region` of a result counts them.

# %%
reliability_figure(results, "extended_mouse")

# %%
reliability_figure(results, "ibsr")

# %%
reliability_figure(results, "slicemap")

# %% [markdown]
# ## How it fails
#
# Regions of sections by kind of failure. A region can be of more than one kind. The worst sections
# of each kind are named in the result files, under `failures`.

# %%
failures_table(results)

# %%
failures_figure(results)

# %% [markdown]
# ## Registration on the same sections
#
# The paper's Fig. 8 compares the squared error of the masks with that of registration by elastix
# and ndreg, on sagittal mouse sections. Here, on other sections, elastix, SyN (of dipy) and LDDMM
# (the kind that ndreg is, which could not be installed) lay the labels of the most similar training
# section on each test section, upright and turned by 20 degrees. A difference is paired: both
# methods on the same sections, resampled together 10,000 times. Where the interval does not contain
# 0, one of the two is better on sections like these.

# %%
methods_table(records.methods)

# %%
methods_figure(records.methods, published)

# %%
methods_dice_table(records.methods, "ara_nissl")

# %%
methods_dice_table(records.methods, "malc2012")

# %% [markdown]
# ## Table 1, live
#
# The rivals of Table 1, made anew from their papers, nnU-Net and registrations, on the same test
# scans as SeBRe's network. Below each table stands who wins.

# %%
live = rival_tables(records.live, records.published)
live[0]

# %%
live[1]

# %% [markdown]
# ## Was Mask R-CNN needed?
#
# A U-Net labels each pixel and finds no boxes first. It was trained on the same sections, and is
# scored on the same test sections. The comparison on `ara_nissl` is not even: Mask R-CNN had two
# tuned runs and started from weights of `slicemap`, the U-Net had one run from random weights, and
# most of the difference comes from one plate of seven.

# %%
networks_table(records.results)

# %% [markdown]
# ## The paper's split
#
# The paper divides slices of IBSR at random: every test subject has other slices in training. Here
# is a network trained on such a split, beside ours, in which no subject is in both parts. The two
# test parts differ. On the 124 sections that they share, the mAP is 0.803 against 0.765.

# %%
splits_table(records.results, records.splits)

# %% [markdown]
# ## What became of the claims
#
# Every number and every tested statement of the paper has a verdict, on the paper's own data only:
# no score of the paper could be tested. What stand-in data say of each stands beside it:
# consistent, not or open, by a rule that was fixed before. `RESULTS.md` has the numbers too.

# %%
claims = claims_of(records)
verdicts_table(claims)

# %%
stand_in_table(claims)

# %%
statements_table(claims)
