"""One section's way through the network, stage by stage (paper, Fig. 2)."""
