"""One stage, compiled: fitted from its beginning as often as needed, on any images."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kertl.callbacks import BestAverage, BestWeights, EpochSeeds, GroupRates, StopBelowValidation, StopOnDivergence
from kertl.data import augment
from kertl.errors import DivergedError
from kertl.features import EpochFitter, image_batches
from kertl.hardware import multi_worker
from kertl.optimizers import begin_schedule_again, carry_moments
from kertl.probes import Solution
from kertl.quantization import FakeQuantised, FreezeRanges
from kertl.recipe import Stage
from kertl.training._accumulate import in_parts
from kertl.training._compile import compile_for, rates_by_group, schedule_of
from kertl.training._exact import give_head, solve_head
from kertl.training._given import Given
from kertl.training._learner import Learner, put_back, values_of
from kertl.training._material import Material, OnFeatures, OnHeldImages, OnImages
from kertl.training._pull import pulled
from kertl.training._recompute import checkpointed

_CALIBRATION_BATCHES = 8


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a stage leaves for the next one."""

    optimizer: keras.optimizers.Optimizer
    """Its optimizer."""
    variables: Sequence[Any]
    """The variables that the optimizer was built for."""


class StageFit:
    """The trainable suffix of a stage, compiled for it.

    Attributes:
        model: What is fitted: of features at the boundary, or of images.
        optimizer: Its optimizer, without the loss scale that may be around it.
        variables: What it trains.
        total_steps: Steps of its schedule.
        rounded: The network in 8 bits that it trains, or None.
        drawing: Its layers that draw random numbers, or contain such layers.

    Args:
        learner: What is trained, at the size of the stage.
        stage: The stage; its rate is known.
        total_steps: Optimizer steps of its schedule.
        on_features: Whether it trains on features.
        precision: What the layers compute in.
        part_size: Images of a batch that are computed at once; None for all of them.
        around: Makes what is fitted of the suffix, on features, such as a model of two domains; None fits the suffix.
    """

    def __init__(
        self,
        learner: Learner,
        stage: Stage,
        *,
        total_steps: int,
        on_features: bool,
        precision: str = "float32",
        part_size: int | None = None,
        around: Callable[[keras.Model], keras.Model] | None = None,
    ) -> None:
        self.learner, self.stage, self.precision = learner, stage, precision
        self.on_features, self.total_steps = on_features, total_steps
        learner.set_trainable(stage)
        self.rounded = learner.rounded(stage) if stage.quantize else None
        with learner.computing_in(precision):
            suffix = self.rounded or (
                checkpointed(learner, stage) if stage.gradient_checkpointing else learner.suffix(stage)
            )
            layers = [] if on_features else augment.layers(stage.augment, learner.channels)
            if self.rounded is not None:
                whole = learner.whole_rounded(self.rounded, layers)
            else:
                whole = suffix if on_features else learner.whole(stage, suffix, layers)
            whole = whole if around is None else around(whole)
            self.model = multi_worker(whole) if part_size is None else in_parts(whole, part_size)
            self._own = compile_for(self.model, learner, stage, total_steps=total_steps, precision=precision)
        self.optimizer = self._own
        self.variables = list(self.model.trainable_variables)
        # The suffix first, so that it draws the same numbers on features and on images.
        self.drawing = [suffix, *layers]
        self._start = self._state()
        self._fitter: EpochFitter | None = None

    @property
    def fitter(self) -> EpochFitter:
        """What computes whole epochs on features; compiled when it is first used."""
        if self._fitter is None:
            self._fitter = EpochFitter(self.model)
        return self._fitter

    def on_images(self, given: Given, part_size: int | None = None) -> Material:
        """What it is fitted on without cached features: images, batch by batch or from an accelerator's memory."""
        batches = image_batches(given.data, self.stage) if part_size is None else None
        if batches is not None and self.fitter.whole_epochs(batches[0]):
            return OnHeldImages(self.fitter, *batches)
        return OnImages(self.model, given, self.stage, part_size)

    @property
    def compiled_by_others(self) -> bool:
        """Whether the model has been compiled again, for example by a tuner with its own optimizer."""
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer) is not self._own

    def set_schedule(self, stage: Stage, total_steps: int) -> None:
        """Make the schedule of the stage last this many steps, before the first `fit`."""
        self.stage, self.total_steps = stage, total_steps
        if not self.compiled_by_others:
            self.optimizer.learning_rate = schedule_of(stage, total_steps)

    def begin(self, before: Trained | None) -> None:
        """Set the optimizer to its first step, with the moments of the variables that trained before."""
        self._take_over()
        put_back(self._start)
        if before is not None:
            carry_moments(before.optimizer, before.variables, self.optimizer, self.variables)

    def go_on(self) -> None:
        """Begin the schedule again with the optimizer's present moments, such as those of a tuner's earlier round."""
        self._take_over()
        begin_schedule_again(self.optimizer)

    def _take_over(self) -> None:
        """Use the optimizer that the model has been compiled with elsewhere."""
        if self.compiled_by_others and self.optimizer is self._own:
            optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
            if not optimizer.built:
                optimizer.build(self.variables)
            self.optimizer = optimizer
            self._start = self._state()
            self._fitter = None

    def _state(self) -> list[tuple[Any, np.ndarray]]:
        """All variables of the optimizer with their values, those of a loss scale around it too."""
        variables = self.model.optimizer.variables
        return list(zip(variables, values_of(variables), strict=True))

    @contextmanager
    def training(self, start: Mapping[int, np.ndarray]) -> Iterator[None]:
        """The state of the layers while they train: precision, and L2-SP.

        Args:
            start: The value that each variable of the run began with, by the variable's `id`, for L2-SP.
        """
        self.learner.set_trainable(self.stage)
        with self.learner.computing_in(self.precision), pulled(self.learner.backbone, start, self.stage.l2_sp):
            yield

    @property
    def trained(self) -> Trained:
        """What it leaves for the next stage."""
        return Trained(self.optimizer, self.variables)


class Attempt:
    """One training of a stage: `fit` and what goes with it, in the order in which they must come.

    Attributes:
        best: The callback that keeps the best weights.

    Args:
        fit: The compiled stage.
        material: The data it is fitted on.
        monitor: What chooses the best weights: "val_loss", or "loss" without a validation set; None keeps the last.
        seed: Seed of dropout and augmentation; >= 0.
        start: The value that each variable of the run began with, by the variable's `id`, for L2-SP.
        strength: Of the penalty of a head that is solved, where it is known.
        note: Called with the strength that was chosen, before the head is solved with it.
    """

    def __init__(
        self,
        fit: StageFit,
        material: Material,
        *,
        monitor: str | None,
        seed: int,
        start: Mapping[int, np.ndarray],
        strength: float | None = None,
        note: Callable[[Solution], None] = lambda _: None,
    ) -> None:
        stage = fit.stage
        self._chooses = monitor == "val_loss"
        self._strength, self._note = strength, note
        self._fit, self._material, self._start = fit, material, start
        self._seeds, self._divergence = EpochSeeds(seed, fit.drawing), StopOnDivergence()
        self.best: BestWeights = (BestAverage if stage.ema else BestWeights)(monitor or "loss", stage.patience_epochs)
        choosing = [] if monitor is None else [self.best]
        crossing = [StopBelowValidation()] if stage.until_below_validation else []
        rates = [GroupRates()] if rates_by_group(stage) and not fit.compiled_by_others else []
        self._callbacks = [self._seeds, self._divergence, *choosing, *crossing, *rates]
        self._calibrated = fit.rounded is None

    def __call__(
        self,
        begin: int,
        end: int,
        *,
        first_batch: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: str | int = 0,
    ) -> None:
        """Train from epoch `begin` to `end`, counted from 0 through all stages of the run.

        Args:
            begin: The first epoch.
            end: The one after the last.
            first_batch: The batch at which the first epoch was interrupted.
            callbacks: More callbacks, which come after the stage's own.
            verbose: As in `fit`.
        """
        with self._fit.training(self._start):
            freezing = [] if self._fit.rounded is None else [self._rounding(self._fit.rounded, end)]
            if self._fit.stage.solver == "exact" and begin < end and not first_batch:
                self._solve()
            self._material.fit(
                first_batch,
                initial_epoch=begin,
                epochs=end,
                callbacks=[*self._callbacks, *freezing, *callbacks],
                verbose=verbose,
            )

    def _rounding(self, network: FakeQuantised, end: int) -> FreezeRanges:
        """Begin with ranges that some training images have; what ends their observation.

        In a run that resumes, the checkpoint has others, which replace them.
        """
        if not self._calibrated:
            batches = range(min(_CALIBRATION_BATCHES, len(self._material.train)))
            network.calibrate(self._material.train.batch(0, number)[0] for number in batches)
            self._calibrated = True
        return FreezeRanges(network, end - self._fit.stage.epochs // 2)

    def _solve(self) -> None:
        """Give the head its solution; one epoch without steps then makes its metrics and its checkpoint."""
        material = self._material
        assert isinstance(material, OnFeatures)
        validation = material.validation if self._chooses else None
        learner, stage = self._fit.learner, self._fit.stage
        solution = solve_head(learner, stage, [material.train], validation, strength=self._strength)
        self._note(solution)
        give_head(learner, stage, solution)

    def check(self, number: int) -> None:
        """Raise if the loss became NaN or infinite; the model then has the best weights from before.

        Args:
            number: Which stage it is, counted from 0.

        Raises:
            DivergedError: If the loss became NaN or infinite.
        """
        if self._divergence.diverged_at is not None:
            epoch, batch = self._divergence.diverged_at
            raise DivergedError(_advice(self._fit, number, epoch, batch), code="diverged")


def _advice(fit: StageFit, number: int, epoch: int, batch: int) -> str:
    stage, precision = fit.stage, fit.precision
    half = "" if precision == "float32" else f" or `precision='float32'` instead of {precision!r},"
    return (
        f"The loss of stage {number + 1} (at={stage.at!r}) became NaN or infinite in epoch {epoch + 1}, batch "
        f"{batch + 1}. The best weights so far are kept. Try a lower `learning_rate` than {stage.learning_rate}, "
        f"a tenth of it to begin with,{half} and check `data.issues` for unsuitable images."
    )
