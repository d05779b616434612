"""As many batches as a range test takes, from any data, without changing it."""

import math
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.data import Epochs


def batches_for(data: Any, steps: int, *, batch_size: int, seed: int, run: int) -> Any:
    """Data for one epoch of `fit` with this many steps; if there are fewer batches, it begins again in another order.

    Args:
        data: As `lr_range_test` takes it.
        steps: How many batches.
        batch_size: Batch size for arrays.
        seed: Seed of the order of arrays and of the batches of a `PyDataset` that is not kertl's.
        run: Number of the run; each has its own order. A `tf.data.Dataset` keeps its own order.

    Raises:
        ValueError: If the data is not of an accepted type, or is empty.
    """
    if isinstance(data, tuple) and 2 <= len(data) <= 3:
        data = _Rows(data, batch_size, seed)
    if isinstance(data, Epochs):
        return _OfEpochs(data, steps, run)
    if isinstance(data, keras.utils.PyDataset) and len(data):
        return _OfDataset(data, steps, seed, run)
    if hasattr(data, "element_spec"):
        return data.repeat()
    accepted = "a part of kertl's data, a finite PyDataset or tf.data.Dataset, or arrays (x, y) or (x, y, weights)"
    raise complain("data", accepted, type(data).__name__)


class _OfEpochs(keras.utils.PyDataset):
    """The batches of kertl's data, which are functions of epoch and index; smaller last ones are left out."""

    def __init__(self, data: Epochs, steps: int, run: int) -> None:
        super().__init__()
        self._data, self._steps = data, steps
        self._whole = max(1, data.num_examples // data.batch_size)
        self._first = run * math.ceil(steps / self._whole)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        epoch, place = divmod(index, self._whole)
        return self._data.batch(self._first + epoch, place)


class _OfDataset(keras.utils.PyDataset):
    """The batches of another data set, in an order that is drawn for each pass."""

    def __init__(self, data: keras.utils.PyDataset, steps: int, seed: int, run: int) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._steps = data, steps
        passes = range(math.ceil(steps / len(data)))
        orders = [np.random.default_rng((seed, run, number)).permutation(len(data)) for number in passes]
        self._order = np.concatenate(orders)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Any:
        return self._data[int(self._order[index])]


class _Rows(Epochs):
    """Arrays in batches."""

    def __init__(self, parts: tuple[Any, ...], batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed, shuffle=True)
        self._parts = keras.tree.map_structure(np.asarray, parts)
        lengths = {len(array) for array in keras.tree.flatten(self._parts)}
        if len(lengths) != 1 or not lengths.pop():
            raise complain("data", "arrays with as many rows as each other, at least one", [len(p) for p in parts])

    @property
    def num_examples(self) -> int:
        return len(keras.tree.flatten(self._parts)[0])

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        rows = self.batch_rows(epoch, index)
        return tuple(keras.tree.map_structure(lambda array: array[rows], self._parts))
