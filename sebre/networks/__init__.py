"""The networks that segment sections, their training, and the store of their weights."""
