"""Backbones of KerasCV: a preset (`cv:`) or a backbone object. Nothing else imports KerasCV.

KerasCV is in maintenance and older than the Keras that it runs on here: a family that does not build is refused, with
Keras' own message.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain, nearest
from kertl.backbones._files import check_weights_file, load_weights_file
from kertl.backbones._found import Found, InputShape, let_all_train
from kertl.backbones._input_range import entry_of
from kertl.backbones._packages import import_package
from kertl.backbones._preprocessing import TAKEN_BY
from kertl.backbones._resize import at_size, picture_shape
from kertl.errors import ArgumentError, WeightsError

CV = "cv:"


def is_from_cv(source: Any) -> bool:
    """Whether `source` is a backbone of KerasCV, which is not imported for that."""
    cv = sys.modules.get("keras_cv")
    return cv is not None and isinstance(source, cv.models.Backbone)


def from_cv_preset(
    preset: str,
    weights: str | Path | None,
    shape: InputShape | None,
    preprocessing: str | keras.layers.Layer | None,
) -> Found:
    """A preset by its name, its handle (`kaggle://`) or its folder."""
    import_package("keras_cv", f"The backbone {CV + preset!r}")
    families = cv_presets()
    family = families.get(preset)
    if family is None and "://" not in preset and not Path(preset).is_dir():
        raise complain(
            "source",
            f"{CV!r} with the name of a KerasCV preset, its handle, or its folder",
            CV + preset,
            f"{nearest(preset, families)} `kertl backbones cv:` lists the names.".strip(),
        )
    file = None if weights in (None, "imagenet") else Path(str(weights))
    if file is not None:
        check_weights_file(file)
    backbone = _from_preset(family, preset, load_weights=weights == "imagenet")
    if file is not None:
        load_weights_file(backbone, file)
    return _found(backbone, preset.rstrip("/").split("/")[-1], shape, preprocessing)


def from_cv_object(
    source: Any, weights: str | Path | None, shape: InputShape | None, preprocessing: str | keras.layers.Layer | None
) -> Found:
    """A backbone in memory."""
    if weights != "imagenet":
        raise complain("weights", "left out where `source` is a model of KerasCV, which brings its own", weights)
    return _found(source, source.name, shape, preprocessing)


def cv_presets() -> dict[str, Any]:
    """The names of the presets of KerasCV's backbones for single pictures, and the class of each."""
    cv = import_package("keras_cv", "The list of presets")
    families = {preset: kind for kind in _subclasses(cv.models.Backbone) for preset in kind.presets}
    others = ("videoswin", "center_pillar")
    return {name: families[name] for name in sorted(families) if not name.startswith(others)}


def _subclasses(kind: Any) -> Iterator[Any]:
    for subclass in kind.__subclasses__():
        # A class with one preset stands for its parent's preset, so the parent is asked.
        yield from _subclasses(subclass)
        yield subclass


def _from_preset(family: Any, preset: str, load_weights: bool) -> Any:
    cv = import_package("keras_cv", f"The backbone {CV + preset!r}")
    try:
        # A preset without weights of its own is not asked for them.
        return (family or cv.models.Backbone).from_preset(preset, load_weights=None if load_weights else False)
    except Exception as error:  # KerasCV lets through whatever Keras, the network and the file system raise
        if isinstance(error, OSError) or "URL fetch failure" in str(error):
            raise WeightsError(
                f"The KerasCV preset {preset!r} is not available ({error}). Fetch it on a machine with a network, with "
                f"`kagglehub`, and pass its folder: load_backbone('{CV}FOLDER').",
                code="weights-download",
            ) from error
        raise WeightsError(
            f"The KerasCV preset {preset!r} does not build under Keras {keras.__version__}: {error} "
            "KerasCV is in maintenance; KerasHub has its successors ('hub:', see `kertl backbones hub:`).",
            code="weights-fit",
        ) from error


def _found(backbone: Any, name: str, shape: InputShape | None, preprocessing: str | keras.layers.Layer | None) -> Found:
    if preprocessing is None and entry_of(backbone).kind != "none":
        raise ArgumentError(
            f"`preprocessing` must be given for {name!r}, which was built with include_rescaling=False. Received: "
            "preprocessing=None. Say how pixels are preprocessed: 'none' (0..255), 'unit' (0..1, what KerasCV's own "
            f"rescaling gives), 'tf' (-1..1), 'torch', 'caffe', or a layer. {TAKEN_BY}"
        )
    own = [side or 224 for side in picture_shape(backbone, name)[:2]]
    height, width = own if shape is None else shape[:2]
    backbone = at_size(backbone, name, (height, width, 3))
    let_all_train(backbone)
    return Found(backbone, preprocessing or "none", name, (height, width, 3))
