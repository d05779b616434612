"""The images that a training is given: all of a data set, or a fold of it."""

import dataclasses

import numpy as np

from kertl.data import ImageData, ImageDataset
from kertl.recipe import Stage


@dataclasses.dataclass(frozen=True)
class Given:
    """Images to train on and to evaluate on; cached features of a fold are rows of those of all images."""

    data: ImageData
    """The training and the validation set."""
    chooses: bool = True
    """Whether the validation set may choose weights and end a stage; a held-out fold may not."""
    pool: ImageDataset | None = None
    """All images whose features are extracted together; None if each part is extracted by itself."""
    rows: np.ndarray | None = None
    """Which images of the pool are in the training set."""
    judged: np.ndarray | None = None
    """Which of them are in the validation set."""

    @classmethod
    def fold(cls, data: ImageData, pool: ImageDataset, fold_of: np.ndarray, number: int, seed: int) -> "Given":
        """The images of a pool to train on, without those of one fold, which is held out for evaluation.

        Args:
            data: The data set.
            pool: Its images, in data order.
            fold_of: The fold of each of them.
            number: The held-out fold.
            seed: Seed of the order of training; >= 0.
        """
        rows, judged = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        parts = dataclasses.replace(
            data,
            train=pool.subset(rows, seed=seed, shuffle=True),
            validation=pool.subset(judged, shuffle=False),
            test=None,
        )
        return cls(parts, chooses=False, pool=pool, rows=rows, judged=judged)

    @property
    def monitor(self) -> str:
        """What chooses the best weights and ends a stage."""
        return "val_loss" if self.chooses and self.data.validation is not None else "loss"

    @property
    def judges(self) -> ImageDataset | None:
        """The images whose features, without augmentation, are needed for evaluation; None if there are none."""
        return self.pool or self.data.validation

    def in_stage(self, stage: Stage) -> "Given":
        """The same images at the size and batch size of a stage."""
        data = self.data.changed(image_size=stage.image_size, batch_size=stage.batch_size)
        pool = None if self.pool is None else self.pool.changed(image_size=stage.image_size)
        return dataclasses.replace(self, data=data.oversampled() if stage.oversample else data, pool=pool)
