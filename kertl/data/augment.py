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
        strength: "none"; "light": mirrored, rotated up to 18 degrees, zoomed and brightened up to 10 %; "strong":
            mirrored, rotated up to 36 degrees, zoomed, shifted, brightened and contrasted up to 20 %, one part erased.

    Raises:
        ValueError: If the strength is none of these.

    Example:
        >>> import kertl.data.augment
        >>> [layer.name for layer in kertl.data.augment.layers("light")]
        ['augment_flip', 'augment_rotation', 'augment_zoom', 'augment_brightness']
    """
    one_of("strength", strength, STRENGTHS)
    if strength == "none":
        return []
    amount = {"light": 0.1, "strong": 0.2}[strength]
    named = keras.layers
    geometry = [
        named.RandomFlip("horizontal", name="augment_flip"),
        named.RandomRotation(amount / 2, fill_mode="reflect", name="augment_rotation"),
        named.RandomZoom(amount, fill_mode="reflect", name="augment_zoom"),
    ]
    brightness = named.RandomBrightness(amount, value_range=(0, 255), name="augment_brightness")
    if strength == "light":
        return [*geometry, brightness]
    return [
        *geometry,
        named.RandomTranslation(amount, amount, fill_mode="reflect", name="augment_shift"),
        brightness,
        named.RandomContrast(amount, value_range=(0, 255), name="augment_contrast"),
        named.RandomErasing(factor=0.5, value_range=(0, 255), name="augment_erasing"),
    ]
