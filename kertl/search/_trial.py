"""One trial: a recipe's stages, the last of which the tuner sees."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import keras_tuner

from kertl._keras import gradient_registry
from kertl.errors import DivergedError
from kertl.training import Given, Trainee


class Trial:
    """The trial that a model from `build` belongs to.

    Attributes:
        model: The compiled model of the last stage.

    Args:
        trainee: What is trained.
        source: The model whose layers it shares.
        given: The images of the first training.
    """

    def __init__(self, trainee: Trainee, source: keras.Model, given: Given) -> None:
        self.trainee, self.source = trainee, source
        self._last = len(trainee.recipe.stages) - 1
        self.model = trainee.compiled(self._last, given).model
        self.model._kertl_trial = self

    def train(
        self,
        given: Given,
        seed: int,
        begin: int,
        epochs: int,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: str | int = 0,
    ) -> keras.callbacks.History:
        """Train all stages, or in a later round of a search continue the last one.

        Args:
            given: The images.
            seed: Seed of dropout and augmentation.
            begin: Epochs of the last stage that an earlier round has trained; the model has its weights.
            epochs: Epochs of the last stage, with those.
            callbacks: The tuner's, for the last stage.
            verbose: As in `fit`.

        Returns:
            The history of the last stage.

        Raises:
            FailedTrialError: If a loss became NaN or infinite.
        """
        trainee, stages = self.trainee, self.trainee.recipe.stages
        before, first_epoch = None, sum(stage.epochs for stage in stages[:-1]) if begin else 0
        try:
            if begin == 0:
                trainee.begin()
                for number in range(self._last):
                    lesson = trainee.train(number, given, seed=seed, first_epoch=first_epoch, before=before)
                    before, first_epoch = lesson.fit.trained, first_epoch + len(lesson.history.epoch)
            return trainee.train(
                self._last,
                given,
                seed=seed,
                first_epoch=first_epoch + begin,
                epochs=epochs - begin,
                before=before,
                go_on=begin > 0,
                callbacks=callbacks,
                verbose=verbose,
            ).history
        except DivergedError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error


def trial_of(model: keras.Model) -> Trial | None:
    """The trial that a model belongs to; None for a model that was not built here."""
    found = getattr(model, "_kertl_trial", None)
    return found if isinstance(found, Trial) else None


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Release what is trained inside, which TensorFlow would keep for ever with graph and weights.

    The sum over replicas in Keras' optimizers has a custom gradient, as `silu` has, and TensorFlow's registry keeps
    every custom gradient that was ever traced.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    registry = gradient_registry()
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-"):
                registry.pop(name, None)
