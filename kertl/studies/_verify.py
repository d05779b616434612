"""`verify_cached`: training on cached features and training on the images are the same training."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import keras
import numpy as np

from kertl.data import ImageData, check_image_data
from kertl.features import extract, feature_batches
from kertl.model import flags_kept
from kertl.recipe import Stage
from kertl.results import Result
from kertl.training import Learner, compile_with, loss_of

# Differences in losses and gradients that rounding explains, if another engine than Keras computed the features.
# Gradients differ by more than features do: a rectifier whose input changes its sign switches a path on or off. After a
# trained MobileNetV2 features that differed by 1e-5 changed them by 1e-3, after a random one by 1e-2, and those in
# bfloat16 by 0.2.
_BOUNDS = {"float32": (1e-4, 3e-2), "mixed_float16": (0.01, 0.1), "mixed_bfloat16": (0.05, 0.3)}


@dataclasses.dataclass(frozen=True, repr=False)
class Verification(Result):
    """How far training on cached features is from training on the images, over the batches of an epoch.

    Attributes:
        at: The boundary.
        engine: The engine that computed the features, "keras" or "openvino".
        batches: How many batches were compared.
        loss_difference: Largest difference of a batch's loss, relative to that loss.
        gradient_difference: Largest distance between a batch's gradients, all variables taken as one vector, relative
            to the length of that vector.
        loss_bound: The largest `loss_difference` allowed.
        gradient_bound: The largest `gradient_difference` allowed.
    """

    at: str | int
    engine: str
    batches: int
    loss_difference: float
    gradient_difference: float
    loss_bound: float
    gradient_bound: float

    DERIVED: ClassVar[tuple[str, ...]] = ("same",)

    @property
    def same(self) -> bool:
        """Whether both differences are within their bounds."""
        return self.loss_difference <= self.loss_bound and self.gradient_difference <= self.gradient_bound

    def table(self) -> str:
        """The differences and the verdict, a line."""
        verdict = "the same training" if self.same else "NOT the same training"
        return (
            f"at={self.at!r}, features by {self.engine}, {self.batches} batches: {verdict}\n"
            f"losses differ by at most {self.loss_difference:.1e} (bound {self.loss_bound:.0e}),\n"
            f"gradients by at most {self.gradient_difference:.1e} (bound {self.gradient_bound:.0e})\n"
        )


def verify_cached(
    model: keras.Model,
    data: ImageData,
    *,
    at: str | int = "deep",
    batch_norm: str = "frozen",
    engine: str = "auto",
    precision: str = "float32",
    dtype: str = "float32",
) -> Verification:
    """Compare training on cached features with training on images, by loss and gradients of every batch of an epoch.

    Both sides see the batches of the first epoch in the same order, with the same weights and the same dropout; no
    weight moves. The images go through the model twice.

    Args:
        model: As in `kertl.fine_tune`. Weights, statistics, random states and `trainable` flags are restored
            afterwards.
        data: The images; the training set is used.
        at: The boundary.
        batch_norm: As in `kertl.Stage`.
        engine: The engine that computes the features, as in `kertl.extract`.
        precision: The precision that layers compute in, as in `kertl.Recipe`.
        dtype: The type in which features are cached, as in `kertl.extract`.

    Returns:
        The differences; `same` tells whether they are within what rounding explains.

    Raises:
        ValueError: If there is no such boundary, or nothing is frozen before it.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 6, validation=0, test=0, batch_size=4)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> kertl.verify_cached(model, data, at="deep").same
        True
    """
    check_image_data(data)
    images = data.train
    features = extract(model, images, at=at, engine=engine, precision=precision, dtype=dtype)
    labels = np.asarray(images.labels)
    cached = feature_batches(features.values, labels, images.batch_size, images.seed, shuffle=images.shuffle)
    stage = Stage(at, batch_norm=batch_norm, augment="none", label_smoothing=0)
    learner = Learner.of(model, data.task)
    losses, gradients = [], []
    with flags_kept(model), learner.computing_in(precision):
        learner.set_trainable(stage)
        suffix = learner.suffix(stage)
        live = learner.whole(stage, learner.suffix(stage), [])
        loss = loss_of(learner.task, stage, learner.spreads)
        with _still(live):
            sides = [_Side(live, loss), _Side(suffix, loss)]
            for number in range(len(images)):
                one, other = (
                    side.step(batches.batch(0, number)) for side, batches in zip(sides, (images, cached), strict=True)
                )
                losses.append(abs(one[0] - other[0]) / max(abs(one[0]), 1e-30))
                gradients.append(_length(one[1] - other[1]) / max(_length(one[1]), 1e-30))
    return Verification(at, features.engine, len(losses), max(losses), max(gradients), *_BOUNDS[precision])


class _Side:
    """Loss and gradients of single batches, at the same weights and random states each time.

    Args:
        model: What a batch goes into.
        loss: The loss.
    """

    def __init__(self, model: keras.Model, loss: Any) -> None:
        self._model, self._recorder = model, _Recorder()
        compile_with(model, self._recorder, loss)

    def step(self, batch: Sequence[Any]) -> tuple[float, np.ndarray]:
        """The loss of a batch, and its gradients, end to end."""
        with _still(self._model):
            self._model.reset_metrics()
            found = self._model.train_on_batch(*batch, return_dict=True)
        gradients = [keras.ops.convert_to_numpy(one) for one in self._recorder.gradients]
        return float(found["loss"]), np.concatenate([np.asarray(one, np.float64).ravel() for one in gradients])


@contextmanager
def _still(model: keras.Model) -> Iterator[None]:
    """Restore statistics and random states afterwards."""
    states = [(state, np.array(keras.ops.convert_to_numpy(state))) for state in model.non_trainable_variables]
    try:
        yield
    finally:
        for state, value in states:
            state.assign(value)


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


class _Recorder(keras.optimizers.Optimizer):
    """Keeps the gradients of the last step and moves nothing."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="recorder")
        self.gradients: list[Any] = []

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.gradients = [self.add_variable_from_reference(variable, "gradient") for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(self.gradients[self._get_variable_index(variable)], keras.ops.cast(gradient, variable.dtype))
