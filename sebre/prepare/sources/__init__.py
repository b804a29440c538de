"""Public data sources: each module has `prepare(raw, out, seed)`."""
