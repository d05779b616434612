"""The images that a training is given: all of a data set, or a fold of it."""

import dataclasses

import numpy as np

from kertl.data import ImageData, ImageDataset
from kertl.recipe import Stage


@dataclasses.dataclass(frozen=True)
class Given:
    """Images to train on and to judge by; where features are cached, those of a fold are rows of all images'."""

    data: ImageData
    """The training and the validation part."""
    chooses: bool = True
    """Whether the validation part may choose weights and end a stage; a fold that judges does not."""
    pool: ImageDataset | None = None
    """All images whose features are extracted together; None where each part is extracted by itself."""
    rows: np.ndarray | None = None
    """Which images of the pool those of the training part are."""
    judged: np.ndarray | None = None
    """Which those of the validation part are."""

    @classmethod
    def fold(cls, data: ImageData, pool: ImageDataset, fold_of: np.ndarray, number: int, seed: int) -> "Given":
        """The images of a pool without those of one fold, which judge.

        Args:
            data: The data set.
            pool: Its images, in data order.
            fold_of: The fold of each of them.
            number: The fold that judges.
            seed: Of the order of training; >= 0.
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
        """The images whose features, untouched by augmentation, are asked for to judge; None where nothing judges."""
        return self.pool or self.data.validation

    def in_stage(self, stage: Stage) -> "Given":
        """The same images at the size and in the batches of a stage."""
        data = self.data.changed(image_size=stage.image_size, batch_size=stage.batch_size)
        pool = None if self.pool is None else self.pool.changed(image_size=stage.image_size)
        return dataclasses.replace(self, data=data.oversampled() if stage.oversample else data, pool=pool)
