"""RESULTS.md: stored records, tables, figures, and what became of the paper's claims."""
