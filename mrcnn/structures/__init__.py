"""Plain data and arithmetic: boxes, masks, matching, and the stages of one image."""
