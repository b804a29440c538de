"""The cases of the benchmark, one file per kind."""
