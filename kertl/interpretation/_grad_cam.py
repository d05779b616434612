"""`grad_cam`: which places of an image speak for a class."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from kertl._checks import complain
from kertl.groups import Chain, Ref, Step, find_chain, maps_before_head, replay
from kertl.interpretation._maps import MOST_ALIKE, NothingToShowError, alike_when_shuffled, as_grid, resized, to_size
from kertl.model import task_of
from kertl.tasks import task_named

_BATCH = 16
_LEAST_SHARE = 1e-6  # of the greatest gradient
_MEAN = Image.Resampling.BOX


def grad_cam(
    model: keras.Model, images: np.ndarray, outputs: Sequence[int] | None = None, *, check: bool = True
) -> np.ndarray:
    """How much each place of an image speaks for one of the model's outputs.

    The gradient of the output's score times the feature map, summed over the channels and cut off below 0, for the last
    feature map or, if the head sees several depths, for all of them together in the squares of the last; tokens of a
    transformer count as a map.
    Of the classes, the score is what a class has before the softmax or sigmoid, minus the mean over the classes.

    Args:
        model: A classifier, or a regression, with feature maps before its head.
        images: Pictures of 0..255 as the model takes them, shape `(n, height, width, channels)`.
        outputs: For each image the number of the output asked about; by default the one with the highest prediction.
            With the one output of a "binary" model 1 asks about the second class and 0 about the first.
        check: Whether to compare with a copy of the model whose weights after the maps are shuffled: what looks the
            same without what was learnt explains nothing.

    Returns:
        Array of shape `(n, height, width)`, from 0 to 1, the greatest value of each image being 1; all 0 where nothing
        speaks for the output.

    Raises:
        ValueError: If the model has no feature maps, an output does not exist, or the maps do not depend on what the
            head has learnt.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(64, 64, 3))
        >>> images = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3)).astype("uint8")
        >>> kertl.interpretation.grad_cam(model, images, [0], check=False).shape
        (1, 64, 64)

    Reference:
        Selvaraju et al., "Grad-CAM", 2017. https://arxiv.org/abs/1610.02391
        Draelos & Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations", 2020, for products before sums.
        https://arxiv.org/abs/2011.08891
        Adebayo et al., "Sanity Checks for Saliency Maps", 2018, for the check. https://arxiv.org/abs/1810.03292
    """
    chain = find_chain(model)
    refs = maps_before_head(chain.graph)
    if not refs:
        accepted = "`model` must have feature maps or tokens before its head"
        raise NothingToShowError(f"{accepted}. Received: {model.name!r}, a model of vectors alone.")
    images = np.asarray(images)
    expected = chain.graph.shapes[chain.graph.input]
    if images.ndim != 4 or not len(images) or images.shape[-1] != expected[-1]:
        raise complain("images", f"pictures of shape (n, {', '.join(map(str, expected))})", images.shape)
    probed = _probed(chain, refs)
    count = probed.output_shape[-1][-1]
    classes = 2 if task_of(model) == "binary" else count
    chosen = None if outputs is None else np.asarray(outputs)
    if chosen is not None and (chosen.shape != (len(images),) or not np.isin(chosen, range(classes)).all()):
        raise complain("outputs", f"a number from 0 to {classes - 1} for each of {len(images)} images", outputs)
    centred = task_named(task_of(model)).activation == "softmax"
    maps, chosen = _maps(probed, images, chosen, centred)
    if check:
        few, asked = images[:_BATCH], chosen[:_BATCH]
        learnt = variables_after(chain, refs[-1])
        alike = alike_when_shuffled(maps[:_BATCH], lambda: _maps(probed, few, asked, centred)[0], learnt)
        if alike > MOST_ALIKE:
            raise NothingToShowError(
                f"`model` must have maps that depend on what its head has learnt. Received: {model.name!r}, whose maps "
                f"have a rank correlation of {alike:.2f} with those of shuffled weights; above {MOST_ALIKE} they show "
                "edges and brightness at best. Look at single images with `kertl.interpret` instead."
            )
    side = images.shape[1:3]
    return np.stack([to_size(one, (side[0], side[1])) for one in maps])


def tokens_read(chain: Chain, images: np.ndarray, tokens: int) -> np.ndarray | None:
    """Which of so many tokens the head uses, by their gradients, shape `(tokens,)`; None if there are not so many."""
    graph = chain.graph
    refs = [ref for step in graph.steps for ref in step.outputs if graph.shapes[ref][:-1] == (tokens,)]
    if not refs:
        return None
    _, slopes, _ = _gradients(_probed(chain, refs[-1:]), images, None, centred=False)
    sizes = np.abs(slopes[0]).max(axis=(0, 2))
    return np.asarray(sizes > _LEAST_SHARE * sizes.max())


def _probed(chain: Chain, refs: Sequence[Ref]) -> keras.Model:
    """A model that also takes something to add to each map, and gives the maps and the scores.

    The gradient by what is added, at 0, is the one by the map, on every backend.
    """
    graph = chain.graph
    inputs = keras.Input(graph.shapes[graph.input], dtype=graph.input_dtype)
    known: dict[Ref, Any] = {graph.input: inputs}
    added, start = [], 0
    for ref in refs:
        stop = next(number for number, step in enumerate(graph.steps) if ref in step.outputs) + 1
        made = [output for step in graph.steps[start:stop] for output in step.outputs]
        known.update(zip(made, replay(graph.steps[start:stop], known, made), strict=True))
        added.append(keras.Input(graph.shapes[ref]))
        known[ref] = keras.layers.Add(name=f"kertl_probe_{len(added)}")([known[ref], added[-1]])
        start = stop
    scores = _before_activation(graph.steps[start:], known, graph.output)
    return keras.Model([inputs, *added], [*(known[ref] for ref in refs), scores])


class _Scores(keras.layers.Layer):
    """What a Dense layer gives before its activation."""

    def __init__(self, dense: keras.layers.Dense) -> None:
        super().__init__(name="kertl_scores")
        self._dense = dense

    def call(self, x: Any) -> Any:
        scores = keras.ops.matmul(x, self._dense.kernel)
        return scores + self._dense.bias if self._dense.use_bias else scores


def _before_activation(steps: Sequence[Step], known: Mapping[Ref, Any], output: Ref) -> Any:
    """What the last activation is given: scores, whose gradients do not vanish where a prediction is near 0 or 1.

    The prediction itself where something else comes last.
    """
    *before, last = steps
    if isinstance(last.operation, keras.layers.Activation | keras.layers.Softmax):
        return replay(before, known, last.inputs)[0]
    if type(last.operation) is not keras.layers.Dense:
        return replay(steps, known, [output])[0]
    return _Scores(last.operation)(replay(before, known, last.inputs)[0])


def _maps(
    probed: keras.Model, images: np.ndarray, chosen: np.ndarray | None, centred: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each image what its places contribute to the output, in the squares of the last map, and which output."""
    found, asked = [], []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        one = None if chosen is None else chosen[start : start + _BATCH]
        maps, slopes, which = _gradients(probed, batch, one, centred)
        contributions = [as_grid((_centred(one) * slope).sum(axis=-1)) for one, slope in zip(maps, slopes, strict=True)]
        height, width = contributions[-1].shape[1:]
        for row in range(len(batch)):
            pooled = [resized(grid[row], (height, width), _MEAN) * grid[row].size for grid in contributions]
            found.append(np.maximum(np.sum(pooled, axis=0), 0))
        asked.append(which)
    return found, np.concatenate(asked)


def _gradients(
    probed: keras.Model, images: np.ndarray, chosen: np.ndarray | None, centred: bool
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """The maps, the gradients of the chosen outputs' scores by them, and which outputs these are.

    Centred scores are those minus the mean over the outputs.
    """
    pixels = keras.ops.convert_to_tensor(images.astype(probed.inputs[0].dtype))
    nothing = [keras.ops.zeros((1, *(side or 1 for side in entry.shape[1:]))) for entry in probed.inputs[1:]]
    *maps, said = probed([pixels, *nothing], training=False)
    zeros = [keras.ops.zeros(keras.ops.shape(one)) for one in maps]
    width = said.shape[-1]
    if chosen is None:
        told = keras.ops.convert_to_numpy(said)
        chosen = (told[:, 0] > 0).astype(np.int64) if width == 1 else told.argmax(axis=-1)
    signs = np.where(chosen == 0, -1.0, 1.0)[:, None] if width == 1 else np.eye(width)[chosen]
    weights = (signs - 1 / width if centred else signs).astype(np.float32)

    def total(added: Sequence[Any]) -> Any:
        scores = probed([pixels, *added], training=False)[-1]
        return keras.ops.sum(keras.ops.multiply(scores, weights))

    values = [np.asarray(keras.ops.convert_to_numpy(one)) for one in maps]
    return values, [np.asarray(keras.ops.convert_to_numpy(one)) for one in _gradient(total, zeros)], chosen


def _gradient(function: Callable[[Sequence[Any]], Any], points: Sequence[Any]) -> Sequence[Any]:
    """The gradient of a scalar by each of some tensors."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(points)
            value = function(points)
        return list(tape.gradient(value, points))
    if keras.backend.backend() == "jax":
        import jax

        return list(jax.grad(function)(points))
    points = [one.detach().requires_grad_() for one in points]
    function(points).backward()
    return [one.grad for one in points]


def _centred(maps: np.ndarray) -> np.ndarray:
    """Maps minus the mean of each channel over the places of the image."""
    return np.asarray(maps - maps.mean(axis=tuple(range(1, maps.ndim - 1)), keepdims=True))


def variables_after(chain: Chain, ref: Ref) -> list[Any]:
    """The variables of all that comes after a tensor."""
    steps = chain.graph.steps
    last = next(number for number, step in enumerate(steps) if ref in step.outputs)
    return [variable for step in steps[last + 1 :] for variable in step.variables]
