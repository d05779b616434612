"""A trained model as a backbone: its classifier is cut off, its preprocessing recognised."""

import logging
from pathlib import Path

import keras

from kertl._checks import complain, named
from kertl.backbones._applications import Application, recognise
from kertl.backbones._found import Found, InputShape, let_all_train
from kertl.backbones._input_range import assumed, entry_of
from kertl.backbones._preprocessing import TAKEN_BY
from kertl.errors import ArgumentError
from kertl.groups import features_of

_logger = logging.getLogger(__name__)


def from_trained(
    model: keras.Model,
    weights: str | Path | None,
    shape: InputShape | None,
    preprocessing: str | keras.layers.Layer | None,
) -> Found:
    """A trained model without its classifier; all of it trains."""
    if weights != "imagenet":
        raise complain("weights", "left out where `source` is a trained model, which brings its own", weights)
    features = features_of(model, _new_shape(model, shape))
    application = recognise(features)
    kind = preprocessing or ("none" if _takes_pixels(model) else told_preprocessing(model, application, TAKEN_BY))
    if kind is None:
        raise ArgumentError(
            f"`preprocessing` must be given for {named(model)}: its graph does not tell how pixels are preprocessed, "
            "and it is not one of the Applications. Received: preprocessing=None. Say how pixels are preprocessed: "
            f"'none' (0..255), 'unit' (0..1), 'tf' (-1..1), 'torch', 'caffe', or a layer. {TAKEN_BY}"
        )
    if kind in ("torch", "caffe") and features.input_shape[-1] != 3:
        raise complain(
            "preprocessing", f"for {features.input_shape[-1]} channels 'none', 'unit', 'tf' or a layer", kind
        )
    let_all_train(features)
    return Found(features, kind, application.name if application else model.name, features.input_shape[1:])


def told_preprocessing(
    model: keras.Model,
    application: Application | None = None,
    advice: str = "Pass `preprocessing=`, or `--preprocessing` on the command line.",
) -> str | None:
    """How the pixels of a trained model are preprocessed before it, which is logged; None if nothing tells.

    Args:
        model: The model; its graph may scale pixels itself.
        application: The one that it is known to be; None to look for it. Its own preprocessing is then assumed.
        advice: How the caller is told another one.
    """
    try:
        entry = entry_of(model)
        if not entry.arithmetic:
            application = application or recognise(features_of(model))
    except ValueError:  # a graph that cannot be cut tells nothing
        return None
    kind = entry.kind
    why = "its graph begins with arithmetic that expects these"
    if not entry.arithmetic and application is not None:
        kind, why = application.preprocessing, f"it is a {application.name} of keras.applications"
    if kind is not None:
        _logger.log(logging.INFO if kind == "none" else logging.WARNING, "%s", assumed(kind, model, why, advice))
    return kind


def _takes_pixels(model: keras.Model) -> bool:
    """Whether kertl made a model, in memory or in its file: these take pixels of 0..255."""
    return getattr(model, "made_by_kertl", False) or hasattr(model, "_kertl_info") or hasattr(model, "backbone_name")


def _new_shape(model: keras.Model, shape: InputShape | None) -> InputShape:
    """The input shape that a trained model is to have, in its own number of channels."""
    own = tuple(model.input_shape[1:])
    if len(own) != 3 or own[2] is None:
        raise ArgumentError(
            "`source` must take pictures of shape (height, width, channels). "
            f"Received: {named(model)}, which takes {own}."
        )
    if shape is None:
        return (own[0] or 224, own[1] or 224, own[2])
    if own[2] not in (3, shape[2]):
        raise complain("input_shape", f"of {own[2]} channels, which {named(model)} was trained with", shape)
    if tuple(shape[:2]) != own[:2] and (shape[0] % 32 or shape[1] % 32):
        raise complain("input_shape", f"{own} or have sides that are multiples of 32, for {named(model)}", shape)
    return (shape[0], shape[1], own[2])
