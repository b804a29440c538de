"""Installs the two packages: mrcnn (the network) and sebre (the brains)."""

import json
import re
from pathlib import Path

from setuptools import find_packages, setup

# Read as text: the packages that sebre imports may not be there yet.
_ROOT = Path(__file__).parent
_SOURCE = (_ROOT / "sebre" / "__init__.py").read_text(encoding="utf-8")

# The folder `weights` is installed as a package without modules, for the store to find. Weights
# that have an address are fetched when they are asked for, and left out.
_STORE = "sebre.shipped_weights"
# The sections that ship, for the samples of the napari plugin; of `datasets` no others.
_SECTIONS = "sebre.shipped_sections"
_DRAWN = "slicemap/mrcnn_val_dataset"
_MANIFEST = json.loads((_ROOT / "weights" / "manifest.json").read_text(encoding="utf-8"))

setup(
    name="sebre",
    version=re.search(r'^__version__ = "(.+?)"', _SOURCE, re.MULTILINE).group(1),
    description="Finds brain regions in sections: Mask R-CNN on Keras 3, after Iqbal et al. 2019",
    license="MIT",  # of the code; weights/*.md name the terms of the weights
    python_requires=">=3.11",
    packages=[*find_packages(include=["mrcnn", "mrcnn.*", "sebre", "sebre.*"]), _STORE, _SECTIONS],
    package_dir={_STORE: "weights", _SECTIONS: "datasets"},
    package_data={
        "": ["*.csv", "files/*.csv", "*.md", "cards/*.md", "*.html"],
        "sebre.viewer": ["napari.yaml"],
        _STORE: ["*.json", "*.h5", "*.npz", "*.png"],
        _SECTIONS: [
            *("any_section/README.md", "any_section/LICENSE", "any_section/images/*.jpg"),
            *("slicemap/README.md", "slicemap/LICENSE", "slicemap/dataset.json"),
            *(f"{_DRAWN}_images/section_img_0.png", f"{_DRAWN}_masks/section_masks_0/*.png"),
        ],
    },
    exclude_package_data={
        _STORE: [entry["file"] for entry in _MANIFEST.values() if entry.get("url")]
        + ["*.log.csv", ".written.jsonl"]
    },
    install_requires=[
        "tensorflow>=2.20",
        "keras>=3.12",
        "numpy>=2.0",
        "scipy>=1.14",
        "scikit-image>=0.25",
        "h5py>=3.11",
        "pycocotools>=2.0.8",
        "matplotlib>=3.9",
        "pillow>=11.0",
        "tifffile>=2024.8",
        "imagecodecs>=2024.6",
        "roifile>=2024.5",
        "shapely>=2.0",
        "imageio>=2.35",
        "tqdm>=4.66",
        "platformdirs>=4.2",
        "tensorboard>=2.20",
        "nibabel>=5.3",
        "pynrrd>=1.1",
        "svgelements>=1.9.6",
        "pandas>=2.2",
        "opencv-python-headless>=4.10",
    ],
    extras_require={
        "notebooks": ["jupytext>=1.16", "nbclient>=0.10.2", "nbformat>=5.10", "ipykernel>=6.29"],
        "registration": ["itk-elastix>=0.25", "dipy>=1.12"],
        "jax": ["jax>=0.6"],
        "torch": ["torch>=2.6"],
        "export": ["onnx>=1.17", "onnxruntime>=1.20", "openvino>=2025.0"],
        "neurites": ["zarr>=3.0.8", "mwatershed>=0.5.4"],
        "rivals": ["PyMaxflow>=1.3", "torch>=2.6", "nnunetv2>=2.6"],
        "bench": ["torch>=2.6", "torchvision>=0.21"],
        "cluster": ["dask>=2025.1", "distributed>=2025.1"],
        "napari": ["napari>=0.9", "PyQt6>=6.6"],
        "dev": ["pytest>=8.3", "pytest-xdist>=3.6", "ruff>=0.9"],
    },
    entry_points={
        "console_scripts": ["sebre = sebre.cli.commands:main"],
        "napari.manifest": ["sebre = sebre.viewer:napari.yaml"],
    },
)
