"""The ways in which training images can be varied, and what an amount of each may be.

Only a table, without Keras: `kertl.recipe` checks arguments with it, and `kertl.data.augment` makes layers from it.
"""

import dataclasses
from typing import Any

from kertl._checks import among, complain, nearest, number, one_of

Transformations = tuple[tuple[str, float | str], ...]
"""Names and amounts, in the order in which they are applied."""

FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")


@dataclasses.dataclass(frozen=True)
class Amount:
    """What an amount may be: a number above 0, or "flip"'s direction."""

    usual: float | str
    """The amount if only the name is given."""
    most: float = 1.0
    """The largest number."""


TRANSFORMATIONS: dict[str, Amount] = {
    "flip": Amount("horizontal"),
    "rotation": Amount(0.05, most=0.5),
    "zoom": Amount(0.1, most=0.9),
    "shift": Amount(0.1),
    "shear": Amount(0.1),
    "brightness": Amount(0.2),
    "contrast": Amount(0.2),
    "saturation": Amount(0.3),
    "hue": Amount(0.1),
    "color_jitter": Amount(0.3),
    "erasing": Amount(0.5),
    "cutout": Amount(0.25, most=0.9),
    "rand_augment": Amount(0.3),
}

COLOURS = ("saturation", "hue", "color_jitter", "rand_augment")
"""Those that need red, green and blue; all others work on any number of channels."""

STRENGTHS: dict[str, Transformations] = {
    "none": (),
    # Rotation and zoom interpolate, which blurs: on photos of solar cells at 160 pixels, rotating by up to 18 degrees
    # took a frozen classifier from 0.85 to 0.59, and training with 4 degrees and 5 % cost 2 to 4 points.
    "light": (("flip", "horizontal"), ("brightness", 0.1)),
    "strong": (
        ("flip", "horizontal"),
        ("brightness", 0.2),
        ("contrast", 0.2),
        ("rotation", 0.05),
        ("zoom", 0.1),
        ("shift", 0.1),
        ("erasing", 0.5),
    ),
}


def checked_augment(value: Any) -> str | Transformations:
    """The name of a strength unchanged; a list of transformations as pairs of name and amount.

    Args:
        value: A strength, or a list of names, which stand for the usual amount, and of pairs.

    Raises:
        ValueError: If it is neither, a name is unknown or comes twice, or an amount is out of range.
    """
    if isinstance(value, str) and value in STRENGTHS:
        return value
    if not isinstance(value, (list, tuple)) or not value:
        listed = " or ".join(map(repr, STRENGTHS))
        advice = f"Pass [{value!r}]." if among(value, TRANSFORMATIONS) else nearest(value, STRENGTHS)
        raise complain("augment", f"{listed}, or a list of transformations", value, advice)
    pairs = tuple(map(_pair, value))
    if len(dict(pairs)) < len(pairs):
        raise complain("augment", "a list in which each transformation comes once", value)
    return pairs


def transformations_of(augment: Any) -> Transformations:
    """The pairs of name and amount that a strength or a list stands for.

    Raises:
        ValueError: As `checked_augment`.
    """
    chosen = checked_augment(augment)
    return STRENGTHS[chosen] if isinstance(chosen, str) else chosen


def refuse_colours(augment: Any, channels: int) -> None:
    """Raise if images without colour are to be varied in colour.

    Args:
        augment: As in `transformations_of`.
        channels: Channels of the images.

    Raises:
        ValueError: If so; or as `checked_augment`.
    """
    wrong = [name for name, _ in transformations_of(augment) if name in COLOURS]
    if wrong and channels != 3:
        listed = " and ".join(map(repr, wrong))
        advice = "Leave that out; 'brightness' and 'contrast' work on any number of channels."
        accepted = f"without {listed} for images of {channels} channels, since only red, green and blue have colour"
        raise complain("augment", accepted, augment, advice)


def _pair(one: Any) -> tuple[str, float | str]:
    if not isinstance(one, str) and not (isinstance(one, (list, tuple)) and len(one) == 2):
        raise complain("augment", "a list of names, or pairs of name and amount", one, "Pass ('rotation', 0.05).")
    name = one_of("augment", one if isinstance(one, str) else one[0], TRANSFORMATIONS)
    if isinstance(one, str):
        return name, TRANSFORMATIONS[name].usual
    if name == "flip":
        return name, one_of(name, one[1], FLIPS)
    return name, float(number(name, one[1], above=0, at_most=TRANSFORMATIONS[name].most))
