"""Several processes of JAX that train one model: how many there are, and what each feeds."""

import os
from typing import Any

import keras

from kertl._checks import complain
from kertl.errors import SetupError

COORDINATOR, PROCESSES, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def processes_told() -> tuple[int, int]:
    """How many processes train together and which of them this is, by JAX's variables; (1, 0) without them.

    Raises:
        ValueError: If there is a coordinator, and the other variables do not go with it.
    """
    if not os.environ.get(COORDINATOR):
        return 1, 0
    found = []
    for name in (PROCESSES, NUMBER):
        text = os.environ.get(name, "")
        if not text.isdecimal():
            raise complain(name, f"a whole number where {COORDINATOR} is set", text or None)
        found.append(int(text))
    count, number = found
    if number >= count:
        raise complain(NUMBER, f"below {PROCESSES}, which is {count}", number)
    return count, number


class Share(keras.utils.PyDataset):
    """The rows of each batch that this process feeds, as `share` makes it."""

    def __init__(self, batches: keras.utils.PyDataset, count: int, number: int, replicas: int) -> None:
        super().__init__()
        self._batches, self._count, self._number, self._replicas = batches, count, number, replicas

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        batch = self._batches[index]
        rows = len(keras.tree.flatten(batch)[0])
        if rows % self._replicas:
            raise complain(
                "batches",
                f"batches that {self._replicas} devices can share equally",
                f"batch {index} of {rows} rows",
                "Choose another `batch_size`, or another number of images.",
            )
        size = rows // self._count
        own = slice(self._number * size, (self._number + 1) * size)
        return keras.tree.map_structure(lambda array: None if array is None else array[own], batch)

    def on_epoch_begin(self) -> None:
        """As that of the whole batches."""
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """As that of the whole batches."""
        self._batches.on_epoch_end()


def share(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """What this process feeds `fit` with where several processes of JAX train one model: its rows of each batch.

    Args:
        batches: The same in each process, such as `data.train`; each of its batches must be one that all devices
            together can share equally.

    Returns:
        A dataset of as many batches, for `fit(..., shuffle=False)`; `batches` itself in one process, so that a script
        need not ask.

    Raises:
        ValueError: If a batch cannot be shared equally, when it is asked for.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.zeros((8, 4, 4, 3), "uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 4, validation=0, test=0, batch_size=4)
        >>> kertl.hardware.share(data.train) is data.train  # there is one process here
        True
    """
    count = processes()
    if count == 1:
        return batches
    import jax

    spread = keras.distribution.distribution()
    return Share(batches, count, jax.process_index(), spread.device_mesh.devices.size)


def processes() -> int:
    """How many processes of JAX train together in the scope in effect; 1 outside one and on other backends."""
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return 1
    import jax

    return int(jax.process_count())


def refuse_processes(what: str) -> None:
    """Raise if several processes of JAX train together.

    Raises:
        SetupError: If so.
    """
    if (count := processes()) > 1:
        raise SetupError(
            f"{what} must run in one process on JAX. Received: {count} processes. Use TensorFlow with TF_CONFIG, or "
            f"`fit` of `kertl.stage_model` on `kertl.hardware.share(data.train)`."
        )
