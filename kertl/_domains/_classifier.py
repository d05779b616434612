"""A classifier as features and the Dense layer that classifies them: what methods on cached features work on."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import expit, softmax

import kertl
from kertl._checks import complain, named
from kertl.evaluation import output_names
from kertl.features import extract, key_of, prefix_key
from kertl.groups import find_chain, replay
from kertl.hardware import scope_of
from kertl.model import ModelInfo, model_info, output_layer, set_model_info, task_of

TASKS = ("single_label", "binary")


class Classifier:
    """A classifier that ends in a Dense layer, seen as its features and that layer.

    Attributes:
        model: The model; it is not changed.
        kernel: Of the Dense layer, shape `(features, outputs)`.
        bias: Shape `(outputs,)`.
        names: The classes; of "binary", both.
        link: "softmax", or "sigmoid" for one output of two classes.

    Args:
        model: The model.

    Raises:
        TypeError: If it is subclassed or not built.
        ValueError: If it is not such a classifier.
    """

    def __init__(self, model: keras.Model) -> None:
        self._chain = find_chain(model)
        last = output_layer(model)
        accepted = "a classifier for one class of several that ends in a Dense layer with softmax, or sigmoid for two"
        ends = last is not None and last.dense.use_bias and last.activation in ("softmax", "sigmoid")
        if last is None or not ends or not self._chain.has_head or task_of(model) not in TASKS:
            found = "a model without a classifier" if not self._chain.has_head else named(model)
            raise complain("model", accepted, found, "`kertl.build` gives such a model.")
        if len(last.inputs.shape) != 2:
            raise complain("model", accepted, f"a Dense layer of shape {tuple(last.inputs.shape)}")
        self.model, self.last = model, last
        self.kernel, self.bias = (np.asarray(keras.ops.convert_to_numpy(one)) for one in last.dense.weights[:2])
        self.link = last.activation
        self.names = tuple(output_names(model))

    @property
    def classes(self) -> int:
        """Number of classes; 2 for one sigmoid."""
        return max(2, len(self.bias))

    def features(self, images: Any, cache_dir: str | Path | None = None) -> np.ndarray:
        """What the Dense layer takes, a row per image; the backbone runs once, the rest of the head on its features."""
        found = extract(self.model, images, at="deep", cache_dir=cache_dir)
        return self.hidden(found.take(np.arange(len(found))))

    def hidden(self, crossing: Any) -> np.ndarray:
        """What the Dense layer takes, of what crosses the boundary before the head."""
        end = len(self._chain.backbone_groups)
        steps = self._chain.steps(end, end + 1)
        place = next(number for number, step in enumerate(steps) if step.operation is self.last.dense)
        if place == 0:
            return np.asarray(crossing, np.float32)
        entering = self._chain.crossing(end)
        inputs = [keras.Input(self._chain.graph.shapes[ref]) for ref in entering]
        (outputs,) = replay(steps[:place], dict(zip(entering, inputs, strict=True)), [steps[place].inputs[0]])
        inner = keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs)
        return np.asarray(inner.predict(crossing, batch_size=256, verbose=0), np.float32)

    def key(self) -> str:
        """The digest of what the features depend on besides the images."""
        end = len(self._chain.backbone_groups)
        hidden = [layer for layer in self._chain.layers(end, end + 1) if layer is not self.last.dense]
        weights = [weight for layer in hidden for weight in layer.get_weights()]
        return key_of({"prefix": prefix_key(self._chain, end), "hidden": weights})

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """What the Dense layer computes before its activation, shape `(rows, outputs)`."""
        return np.asarray(rows @ self.kernel + self.bias)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Of the classes, shape `(rows, classes)`."""
        if self.link == "softmax":
            return np.asarray(softmax(scores, axis=1))
        second = expit(scores)
        return np.concatenate([1 - second, second], axis=1)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Class ids as the layer should answer, shape `(rows, outputs)`."""
        return np.eye(self.classes)[labels] if self.link == "softmax" else labels[:, None].astype(np.float64)

    def with_head(self, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
        """The same model with another kernel and bias; all other layers are shared."""
        model, last = self.model, self.last
        if last.dense not in model.layers:  # in a nested head, whose graph is not that of the model
            model = self._chain.at_shape(model.input_shape[1:], name=model.name)
            flat = output_layer(model)
            assert flat is not None
            last = flat
        with scope_of(model):
            dense = keras.layers.Dense.from_config({**last.dense.get_config(), "units": kernel.shape[1]})
            answers = dense(last.inputs)
            if last.after is not None:
                answers = type(last.after).from_config(last.after.get_config())(answers)
            dense.kernel.assign(kernel.astype(np.float32))
            dense.bias.assign(bias.astype(np.float32))
            found = keras.Model(model.inputs[0], answers, name=self.model.name)
        return self.told(found)

    def told(self, derived: keras.Model) -> keras.Model:
        """Note about a model derived from this one what is known about this one."""
        info = model_info(self.model) or ModelInfo(task_of(self.model), self.names, self.model.name, kertl.__version__)
        return set_model_info(derived, info)
