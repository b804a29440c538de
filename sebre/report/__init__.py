"""RESULTS.md: stored records as tables and figures, and a verdict on each of the paper's claims."""
