"""Plane and place of a section of a mouse brain, in the frame of the Allen CCFv3."""
