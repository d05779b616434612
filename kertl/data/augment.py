"""Varying training images by Keras' own layers; validation and test images are never varied.

The layers take and give pictures of 0..255 and are active in training mode only. They stand in front of the model
while a stage trains, and are never part of the model that is saved.
"""

import keras

from kertl._checks import one_of

STRENGTHS = ("none", "light", "strong")


def layers(strength: str) -> list[keras.layers.Layer]:
    """The layers of a strength, in the order in which they run.

    Args:
        strength: "none"; "light": mirrored, brightened or darkened by up to 10 %; "strong": mirrored, brightened and
            contrasted by up to 20 %, rotated by up to 18 degrees, zoomed and shifted by up to 10 %, and a part erased
            in every other image.

    Raises:
        ValueError: If the strength is none of these.

    Example:
        >>> import kertl.data.augment
        >>> [layer.name for layer in kertl.data.augment.layers("light")]
        ['augment_flip', 'augment_brightness']
    """
    one_of("strength", strength, STRENGTHS)
    if strength == "none":
        return []
    named = keras.layers
    amount = {"light": 0.1, "strong": 0.2}[strength]
    pixelwise = [
        named.RandomFlip("horizontal", name="augment_flip"),
        named.RandomBrightness(amount, value_range=(0, 255), name="augment_brightness"),
    ]
    if strength == "light":
        # Rotation and zoom interpolate, which blurs: on photos of solar cells at 160 pixels, rotating by up to 18
        # degrees took a frozen classifier from 0.85 to 0.59, and training with 4 degrees and 5 % cost 2 to 4 points.
        return pixelwise
    return [
        *pixelwise,
        named.RandomContrast(amount, value_range=(0, 255), name="augment_contrast"),
        named.RandomRotation(0.05, fill_mode="reflect", name="augment_rotation"),
        named.RandomZoom(0.1, fill_mode="reflect", name="augment_zoom"),
        named.RandomTranslation(0.1, 0.1, fill_mode="reflect", name="augment_shift"),
        named.RandomErasing(factor=0.5, value_range=(0, 255), name="augment_erasing"),
    ]
