"""The cases of the benchmark, a file per kind."""
