"""The graph of the paper's Mask R-CNN, a file per part, and nothing else."""
