"""How hard the sections are: a recipe, and how it changes while a network learns."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Recipe:
    """Chances and strengths of everything that happens to a section.

    Chances are 0..1. A recipe between two others has values between theirs.

    Attributes:
        canonical: chance of a canonical plane (sagittal, coronal, horizontal) with a tilt; the
            others have any direction.
        coronal: share of the coronal among the canonical planes.
        sagittal: share of the sagittal among the others; the rest is horizontal.
        tilt_deg: deviation of the tilt of canonical planes about each in-plane axis, degrees.
        any_angle: chance that a section lies on the slide at any angle.
        turn_deg: deviation of the angle of the others from their longest axis, degrees.
        scale: deviation of the logarithm of the size of the tissue in the picture.
        closer: chance of a picture closer up, of a part of the tissue.
        bend: deviation of the smooth deformation, share of the brain's half width.
        growth: deviation of the logarithmic local growth along each axis.
        partial: chance of a half, or of a piece cut off by straight cuts.
        painted: chance of a picture of random values by structure; the others start from the
            volume's own gray values, if it has any.
        recolor: strength of the random remapping of the own gray values.
        invert: chance of an inverted picture.
        texture: strength of texture, cells and layer edges.
        shading: deviation of the logarithmic uneven lighting.
        blur_px: largest deviation of the blur at a side of 192 px.
        noise: largest deviation of the noise, share of the range.
        background: chance of a background that is not plain black or white.
        halo: chance of a dim rim around the tissue, as where it was cut out of its picture.
        sparse: chance of a picture of few marked cells on a dark ground.
        damage: chance of each kind of damage.
    """

    canonical: float = 0.75
    coronal: float = 0.42
    sagittal: float = 0.75
    tilt_deg: float = 12.0
    any_angle: float = 0.2
    turn_deg: float = 12.0
    scale: float = 0.2
    closer: float = 0.2
    bend: float = 0.055
    growth: float = 0.25
    partial: float = 0.3
    painted: float = 0.6
    recolor: float = 1.0
    invert: float = 0.5
    texture: float = 1.0
    shading: float = 0.35
    blur_px: float = 1.6
    noise: float = 0.12
    background: float = 0.4
    halo: float = 0.15
    sparse: float = 0.04
    damage: float = 0.2

    def toward(self, other: "Recipe", share: float) -> "Recipe":
        """The recipe at a share 0..1 of the way to another."""
        values = {}
        for item in fields(self):
            own, last = getattr(self, item.name), getattr(other, item.name)
            values[item.name] = own + (last - own) * share
        return Recipe(**values)


EASY = Recipe(
    canonical=1.0,
    tilt_deg=4.0,
    any_angle=0.05,
    turn_deg=6.0,
    scale=0.08,
    closer=0.0,
    bend=0.04,
    growth=0.12,
    partial=0.05,
    painted=0.3,
    recolor=0.5,
    invert=0.3,
    texture=0.5,
    shading=0.15,
    blur_px=1.0,
    noise=0.05,
    background=0.1,
    halo=0.05,
    sparse=0.0,
    damage=0.03,
)
HARD = Recipe()


def recipe_at(progress: float, ramp: tuple[float, float] = (0.1, 0.6)) -> Recipe:
    """The recipe of a moment of the training.

    Args:
        progress: share of the training that is done, 0..1.
        ramp: the easy recipe holds until the first share, the hard one from the second.
    """
    start, end = ramp
    share = (progress - start) / max(end - start, 1e-9)
    return EASY.toward(HARD, min(max(share, 0.0), 1.0))
