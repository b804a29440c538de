"""What not to trust: inputs of another kind, doubtful regions, and which network fits."""
