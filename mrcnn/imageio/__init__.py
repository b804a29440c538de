"""Reading pictures: whole, in windows, at reduced scale, in tiles."""
