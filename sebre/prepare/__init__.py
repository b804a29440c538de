"""From raw data to prepared data sets; one module a public source in `sources`."""
