"""A model as a graph of TensorFlow, from which the formats are converted."""

import contextlib
import functools
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._keras import layers_inside, with_constants
from kertl.errors import ExportError


def pictures_function(model: keras.Model, contract: dict[str, Any]) -> Any:
    """A `tf.function` from a batch of pictures, float32 of 0..255, to predictions, in inference mode."""
    import tensorflow as tf

    signature = tf.TensorSpec(contract["input"]["shape"], tf.float32, name=contract["input"]["name"])
    return tf.function(
        lambda images: tf.cast(model(images, training=False), tf.float32), input_signature=[signature], autograph=False
    )


def traced(function: Callable[[Any], Any], contract: dict[str, Any]) -> Any:
    """The concrete function of a function from pictures, float32 of 0..255, to predictions, without variables."""
    import tensorflow as tf

    signature = tf.TensorSpec(contract["input"]["shape"], tf.float32, name=contract["input"]["name"])
    with rolled_by_slices():
        return tf.function(function, input_signature=[signature], autograph=False).get_concrete_function()


def frozen(model: keras.Model, contract: dict[str, Any], *, inlined: bool = False) -> Any:
    """The concrete function of that, with weights as constants.

    Keras has XLA compile each grouped convolution, which TensorFlow cannot compute on a CPU otherwise, as a function of
    its own; with `inlined`, for a converter that does not know such functions, it is traced as part of this one.

    Keras' own exporters track the model's constants as resources, which become inputs of an ONNX file (those of
    `Normalization`) or further outputs of an OpenVINO model; in the graph that is traced here they are constants.
    """
    import tensorflow as tf

    function = pictures_function(model, contract)
    if not inlined:
        with rolled_by_slices():
            return with_constants(function.get_concrete_function())

    def eagerly(images: Any) -> Any:
        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            return function.python_function(images)
        finally:
            tf.config.run_functions_eagerly(before)

    return with_constants(traced(eagerly, contract))


@contextlib.contextmanager
def rolled_by_slices() -> Iterator[None]:
    """While a model is traced, `tf.roll`, by which Swin shifts its windows, is two slices joined.

    Neither LiteRT nor OpenVINO nor TensorFlow.js has an operation for it. Nor have the last two one for
    `keras.ops.slice_update`, by which Swin makes its masks: that becomes a choice between two tensors.
    """
    import tensorflow as tf

    def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:  # noqa: A002, the name it has there
        for by, along in zip(np.atleast_1d(shift), np.atleast_1d(axis), strict=True):
            size = input.shape[int(along)]
            if size is None:
                return original(input, shift, axis, name)
            front, back = tf.split(input, [size - by % size, by % size], axis=int(along))
            input = tf.concat([back, front], axis=int(along))  # noqa: A001
        return input

    def update(inputs: Any, start_indices: Any, updates: Any) -> Any:
        inputs, updates = tf.convert_to_tensor(inputs), tf.convert_to_tensor(updates)
        starts = tf.get_static_value(tf.convert_to_tensor(start_indices))
        if starts is None or not (inputs.shape.is_fully_defined() and updates.shape.is_fully_defined()):
            return original_update(inputs, start_indices, updates)
        sizes = zip(starts, inputs.shape, updates.shape, strict=True)
        around = [(int(start), whole - int(start) - part) for start, whole, part in sizes]
        return tf.where(np.pad(np.ones(updates.shape, bool), around), tf.pad(updates, around), inputs)

    original, tf.roll = tf.roll, roll
    original_update, keras.ops.slice_update = keras.ops.slice_update, update
    try:
        yield
    finally:
        tf.roll, keras.ops.slice_update = original, original_update


@contextlib.contextmanager
def gelu_by_erf() -> Iterator[None]:
    """While a model is traced, exact GELU is computed by `erf`; TensorFlow takes `erfc`, which TensorFlow.js lacks."""
    import tensorflow as tf

    def gelu(features: Any, approximate: bool = False, name: str | None = None) -> Any:
        if approximate:
            return original(features, approximate, name)
        return 0.5 * features * (1.0 + tf.math.erf(features * math.sqrt(0.5)))

    original, tf.nn.gelu = tf.nn.gelu, gelu
    try:
        yield
    finally:
        tf.nn.gelu = original


@contextlib.contextmanager
def groups_as_depthwise(model: keras.Model) -> Iterator[None]:
    """While a model is traced, a convolution with a group for each channel is a depthwise one.

    Keras has XLA compile convolutions in groups, and TensorFlow.js knows neither XLA nor groups.

    Raises:
        ExportError: If a convolution has groups of several channels.
    """
    layers = [one for one in layers_inside(model) if isinstance(one, keras.layers.Conv2D) and one.groups > 1]
    if several := [one.name for one in layers if one.kernel.shape[2] > 1]:
        raise ExportError(
            f"TensorFlow.js has no convolutions in groups of several channels: {', '.join(several[:5])} of this model, "
            "which cannot be exported to it."
        )
    for layer in layers:
        layer.convolution_op = functools.partial(_depthwise, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.convolution_op


def _depthwise(layer: keras.layers.Conv2D, inputs: Any, kernel: Any) -> Any:
    height, width, _, filters = kernel.shape
    per_channel = keras.ops.reshape(kernel, (height, width, layer.groups, filters // layer.groups))
    return keras.ops.depthwise_conv(
        inputs,
        per_channel,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )


def holder(model: keras.Model) -> Any:
    """An object that TensorFlow can save, with the weights of a model and nothing else.

    Beside it, what Keras tracks would be saved a second time.
    """
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    return module


def write_saved_model(module: Any, path: Path, signatures: dict[str, Any]) -> None:
    """Write a SavedModel."""
    import tensorflow as tf

    with silent():
        tf.saved_model.save(module, str(path), signatures=signatures)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what converters log of their progress and of TensorFlow's deprecations; errors are still raised."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl", "tf2onnx")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
