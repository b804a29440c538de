"""The frame that places are told in: that of the Allen CCFv3, in mm.

Three numbers say where something is: "ap", from the front end of the atlas backward; "dv", from its
top downward; "ml", from the middle plane sideward. The brain is nearly the same on both sides, so a
section does not say which is left: ml has no side.
"""

import numpy as np

AXES = ("ap", "dv", "ml")
SIZE_MM = np.array([13.2, 8.0, 11.4])  # of the atlas along each axis
MIDDLE_MM = 5.7  # where the middle plane lies across
# A plane is called after the axis that it cuts at a right angle.
PLANES = ("coronal", "horizontal", "sagittal")
POSITIONS = ("ap", "dv", "ml")  # along which the position of each of these planes is told
ADULT_DAYS = 56.0  # ages above are told as this
# Networks answer in units of this, from this place.
CENTER_MM = np.array([6.6, 4.0, 0.0])
UNIT_MM = 2.0
