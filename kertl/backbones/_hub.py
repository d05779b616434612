"""Backbones of KerasHub: a preset (`hub:`), a backbone object, or a classifier object.

The preset's image converter says which preprocessing the backbone needs; scale and offset become one Rescaling layer.
The backbone stays nested whole, because its class only loads that way.
"""

import sys
from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain, nearest
from kertl.backbones._files import check_weights_file, load_weights_file
from kertl.backbones._found import Found, InputShape, let_all_train
from kertl.backbones._packages import import_package
from kertl.backbones._preprocessing import TAKEN_BY
from kertl.backbones._resize import at_size, for_classification, picture_shape
from kertl.errors import ArgumentError, WeightsError

HUB = "hub:"


def is_from_hub(source: Any) -> bool:
    """Whether `source` is a backbone or classifier of KerasHub, which is not imported for that."""
    hub = sys.modules.get("keras_hub")
    return hub is not None and isinstance(source, (hub.models.Backbone, hub.models.ImageClassifier))


def from_hub_preset(
    preset: str,
    weights: str | Path | None,
    shape: InputShape | None,
    preprocessing: str | keras.layers.Layer | None,
) -> Found:
    """A preset by its name, its handle (`kaggle://`, `hf://`) or its folder."""
    hub = import_package("keras_hub", f"The backbone {HUB + preset!r}")
    file = None if weights in (None, "imagenet") else Path(str(weights))
    if file is not None:
        check_weights_file(file)
    try:
        backbone = hub.models.Backbone.from_preset(preset, load_weights=weights == "imagenet")
        converter = _converter_of_preset(hub, preset)
    except (OSError, ValueError) as error:
        if "Unknown preset identifier" in str(error):
            raise complain(
                "source",
                f"{HUB!r} with the name of a KerasHub preset, its handle, or its folder",
                HUB + preset,
                f"{nearest(preset, vision_presets())} `kertl backbones hub:` lists the names.".strip(),
            ) from error
        raise WeightsError(
            f"The KerasHub preset {preset!r} is not available ({error}). Fetch it on a machine with a network, "
            f"with `kagglehub` or `huggingface_hub`, and pass its folder: load_backbone('{HUB}FOLDER').",
            code="weights-download",
        ) from error
    if file is not None:
        load_weights_file(backbone, file)
    return _found(backbone, converter, preset.rstrip("/").split("/")[-1], shape, preprocessing)


def from_hub_object(
    source: Any, weights: str | Path | None, shape: InputShape | None, preprocessing: str | keras.layers.Layer | None
) -> Found:
    """A backbone in memory, or the backbone of a classifier in memory with the converter of its preprocessor."""
    if weights != "imagenet":
        raise complain("weights", "left out where `source` is a model of KerasHub, which brings its own", weights)
    backbone = getattr(source, "backbone", source)
    converter = getattr(getattr(source, "preprocessor", None), "image_converter", None)
    return _found(backbone, converter, source.name, shape, preprocessing)


def vision_presets() -> list[str]:
    """The names of the presets of KerasHub's image backbones, in order."""
    hub = import_package("keras_hub", "The list of presets")
    with_converter = hub.models.ImageClassifier.presets.keys()
    families = (hub.models.DINOV2Backbone, hub.models.DINOV3Backbone, hub.models.SwinTransformerBackbone)
    return sorted({*with_converter, *(preset for family in families for preset in family.presets)})


def rescaling(converter: Any) -> keras.layers.Layer:
    """What an `ImageConverter` does to the pixels, except for resizing, as a layer of Keras' own.

    Raises:
        ValueError: If it does something else as well.
    """
    hub = import_package("keras_hub", "An image converter")
    if type(converter).call is not hub.layers.ImageConverter.call or converter.data_format != "channels_last":
        raise ArgumentError(
            f"The image converter {type(converter).__name__} does more than scale and offset channels that come last. "
            f"Load the backbone alone and say its preprocessing. {TAKEN_BY}"
        )
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocessing")


def _converter_of_preset(hub: Any, preset: str) -> Any:
    """The preset's image converter; None where it has none."""
    try:
        return hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        return None
    except ValueError as error:
        if "Unable to find a subclass" in str(error):
            return None
        raise


def _found(
    backbone: Any,
    converter: Any,
    name: str,
    shape: InputShape | None,
    preprocessing: str | keras.layers.Layer | None,
) -> Found:
    if converter is None and preprocessing is None:
        raise ArgumentError(
            f"`preprocessing` must be given for {name!r}, which brings no image converter. Received: "
            "preprocessing=None. Say how pixels are preprocessed: 'none' (0..255), 'unit' (0..1), 'tf' (-1..1), "
            f"'torch', 'caffe', a layer, or an ImageConverter of KerasHub. {TAKEN_BY}"
        )
    hub = import_package("keras_hub", "A backbone of KerasHub")
    if isinstance(preprocessing, hub.layers.ImageConverter):
        converter, preprocessing = preprocessing, None
    size = getattr(converter, "image_size", None) or (None, None)
    own = [fixed or wanted or 224 for fixed, wanted in zip(picture_shape(backbone, name)[:2], size, strict=True)]
    height, width = own if shape is None else shape[:2]
    backbone = for_classification(at_size(backbone, name, (height, width, 3)), (height, width, 3))
    let_all_train(backbone)
    return Found(backbone, preprocessing or rescaling(converter), name, (height, width, 3))
