"""From raw data to prepared data sets; one module per public source in `sources`."""
