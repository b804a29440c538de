"""How the network of affinities is trained: patches, what is changed in them, steps."""
