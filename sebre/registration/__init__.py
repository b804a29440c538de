"""Labels by registration to an atlas, for comparison with the networks."""
