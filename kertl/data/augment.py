"""Varying training images by Keras' own layers; validation and test images are never varied.

The layers take and give pictures of 0..255 and are active only in training mode. They run before the model while a
stage trains, and are never part of the saved model.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from kertl._keras import layers_inside, seed_generators
from kertl._transformations import STRENGTHS, TRANSFORMATIONS, refuse_colours, transformations_of

__all__ = ["STRENGTHS", "TRANSFORMATIONS", "layers", "seed_states", "varied"]

_VALUES = (0, 255)


def layers(augment: str | Sequence[Any], channels: int = 3) -> list[keras.layers.Layer]:
    """The layers of a strength, or of a list of transformations, in the order in which they run.

    Each picture is varied by its own amount, drawn uniformly up to the given one.

    | name | its amount | range | usual |
    |---|---|---|---|
    | flip | mirrored or not: "horizontal", "vertical" or "horizontal_and_vertical" | | "horizontal" |
    | rotation | to either side, in full turns | above 0 to 0.5 | 0.05 |
    | zoom | in or out, as a share of the side | above 0 to 0.9 | 0.1 |
    | shift | in both directions, as a share of the side | above 0 to 1 | 0.1 |
    | shear | in both directions, as a share of the side, with the upper left corner fixed | above 0 to 1 | 0.1 |
    | brightness | up or down, as a share of 255 | above 0 to 1 | 0.2 |
    | contrast | up, as a share of its own |  above 0 to 1 | 0.2 |
    | saturation | a: times (1 - a) / (1 + a) to (1 + a) / (1 - a) | above 0 to 1 | 0.3 |
    | hue | to either side, in half turns of the colour circle | above 0 to 1 | 0.1 |
    | color_jitter | brightness, contrast up or down, saturation; hue by a quarter | above 0 to 1 | 0.3 |
    | erasing | a rectangle of noise, in half this share of the pictures | above 0 to 1 | 0.5 |
    | cutout | side of a grey rectangle, as a share of the picture's, in every picture | above 0 to 0.9 | 0.25 |
    | rand_augment | two of Keras' eleven operations | above 0 to 1 | 0.3 |

    Areas that come in from outside the picture are filled with its reflection. `keras.layers.RandAugment` draws its two
    operations for a batch, not for each picture, and one of them, posterisation, gets coarser as the amount gets lower
    (up to 0.37, two levels per colour). AugMix is missing here because Keras draws its operations from Python's
    generator, so they are not a function of a seed.

    Args:
        augment: "none"; "light": mirrored, brightened or darkened by up to 10 %; "strong": mirrored, brightened or
            darkened and contrasted by up to 20 %, rotated by up to 18 degrees, zoomed and shifted by up to 10 %, and
            a part erased in every fourth picture. Or a list of the names above, or of pairs of name and amount.
        channels: Channels of the pictures. Saturation, hue, color_jitter and rand_augment need three.

    Raises:
        ValueError: If it is none of these, or needs colour where there is none.

    Example:
        >>> from kertl.data import augment
        >>> [layer.name for layer in augment.layers("light")]
        ['augment_flip', 'augment_brightness']
        >>> [layer.name for layer in augment.layers(["flip", ("rotation", 0.02)])]
        ['augment_flip', 'augment_rotation']

    Reference:
        DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
        https://arxiv.org/abs/1708.04552
        Zhong et al., "Random Erasing Data Augmentation", 2020. https://arxiv.org/abs/1708.04896
        Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", 2020.
        https://arxiv.org/abs/1909.13719
        Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020, appendix A, for the
        shares of colour jitter. https://arxiv.org/abs/2002.05709
    """
    refuse_colours(augment, channels)
    return [_MAKERS[name](amount, f"augment_{name}") for name, amount in transformations_of(augment)]


def seed_states(parts: Iterable[keras.layers.Layer]) -> list[Any]:
    """The states of the seed generators of layers and of the layers inside them, each once, in order."""
    generators = [each for part in parts for layer in layers_inside(part) for each in seed_generators(layer)]
    return list({id(each.state): each.state for each in generators}.values())


def varied(parts: Sequence[keras.layers.Layer], images: np.ndarray, seed: int | tuple[int, ...]) -> np.ndarray:
    """Pictures as layers vary them in training, as a function of the seed.

    Args:
        parts: What `layers` gave.
        images: Of shape `(batch, height, width, channels)`, 0..255.
        seed: One whole number >= 0, or several.

    Returns:
        Pictures of the same shape, 0..255, in float32.
    """
    random = np.random.default_rng(seed)
    for state in seed_states(parts):
        state.assign(np.array([random.integers(2**31), 0]))
    found: Any = np.asarray(images, np.float32)
    for layer in parts:
        found = layer(found, training=True)
    return np.asarray(keras.ops.convert_to_numpy(found))


def _shear(amount: float, name: str) -> keras.layers.Layer:
    # A pair, because the layer refuses its own config if it was made with one number. The sign is drawn separately.
    both = (0.0, amount)
    return keras.layers.RandomShear(both, both, fill_mode="reflect", name=name)


def _saturation(amount: float, name: str | None) -> keras.layers.Layer:
    # The range of a saturation, not of a pixel: with (0, 255) pixels came out at -900.
    return keras.layers.RandomSaturation((0.5 - amount / 2, 0.5 + amount / 2), value_range=(0, 1), name=name)


def _color_jitter(amount: float, name: str) -> keras.layers.Layer:
    # `keras.layers.RandomColorJitter` gives the range of pixels to its saturation.
    made = keras.layers
    parts = [
        made.RandomBrightness(amount, value_range=_VALUES),
        made.RandomContrast((amount, amount), value_range=_VALUES),
        _saturation(amount, None),
        made.RandomHue(amount / 4, value_range=_VALUES),
    ]
    return made.Pipeline(parts, name=name)


def _cutout(side: float, name: str) -> keras.layers.Layer:
    area = (side**2, side**2)
    return keras.layers.RandomErasing((1.0, 1.0), area, fill_value=127.5, value_range=_VALUES, name=name)


_MAKERS: dict[str, Callable[[Any, str], keras.layers.Layer]] = {
    "flip": lambda mode, name: keras.layers.RandomFlip(mode, name=name),
    "rotation": lambda amount, name: keras.layers.RandomRotation(amount, fill_mode="reflect", name=name),
    "zoom": lambda amount, name: keras.layers.RandomZoom(amount, fill_mode="reflect", name=name),
    "shift": lambda amount, name: keras.layers.RandomTranslation(amount, amount, fill_mode="reflect", name=name),
    "shear": _shear,
    "brightness": lambda amount, name: keras.layers.RandomBrightness(amount, value_range=_VALUES, name=name),
    "contrast": lambda amount, name: keras.layers.RandomContrast(amount, value_range=_VALUES, name=name),
    "saturation": _saturation,
    "hue": lambda amount, name: keras.layers.RandomHue(amount, value_range=_VALUES, name=name),
    "color_jitter": _color_jitter,
    "erasing": lambda amount, name: keras.layers.RandomErasing(factor=amount, value_range=_VALUES, name=name),
    "cutout": _cutout,
    "rand_augment": lambda amount, name: keras.layers.RandAugment(factor=amount, value_range=_VALUES, name=name),
}
