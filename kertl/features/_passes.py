"""One pass over images: while one batch is computed, the next are read and sent, and the previous ones stored."""

import collections
import concurrent.futures
import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np

from kertl.features._augmented import Augmenter
from kertl.features._engines import Engine
from kertl.features._progress import Progress
from kertl.features._sources import Source

_AHEAD = 3
"""Batches that are read, and batches that are stored, besides the one that is computed."""
_SENDERS = 2
"""Threads that move batches to the device: beside a fast one, copying them is what takes the time."""

Put = Callable[[int, np.ndarray, list[np.ndarray]], None]
"""Takes the number of a version, the numbers of its images, and the tensors of a whole batch."""


def one_pass(
    source: Source,
    rows: np.ndarray,
    engine: Engine,
    batch_size: int,
    put: Put,
    *,
    versions: Sequence[int] = (0,),
    augmenter: Augmenter | None = None,
    digests: np.ndarray | None = None,
    progress: Progress,
) -> None:
    """Compute the features of some images, one version after the other for each batch.

    Every batch has the full size, the last one padded with zeros, so the features of an image do not depend on how many
    others there are.

    Args:
        source: The images.
        rows: The numbers of those to compute.
        engine: The engine that computes.
        batch_size: Images per batch.
        put: Called in its own thread, for one batch at a time, in order.
        versions: The versions to make.
        augmenter: What makes them; None leaves images unchanged.
        digests: Digests that identify all images of the source, for the augmenter.
        progress: Receives the number of images done.

    Raises:
        BaseException: Any error in any of the threads; what was computed before is stored.
    """

    def prepared() -> Iterator[tuple[int, np.ndarray, concurrent.futures.Future[Any]]]:
        for chosen, images in source.batches(rows, batch_size):
            full = images
            if len(chosen) < batch_size:
                full = np.concatenate([images, np.zeros((batch_size - len(chosen), *source.shape), source.dtype)])
            for version in versions:
                varied = full if augmenter is None else augmenter(full, version, _of(digests, chosen))
                yield version, chosen, sender.submit(engine.send, varied)

    def finish(version: int, chosen: np.ndarray, outputs: Any) -> None:
        put(version, chosen, engine.fetch(outputs))
        if version == versions[-1]:
            progress.add(len(chosen))

    writing: collections.deque[concurrent.futures.Future[None]] = collections.deque()
    with (
        concurrent.futures.ThreadPoolExecutor(_SENDERS, "kertl-send") as sender,
        concurrent.futures.ThreadPoolExecutor(1, "kertl-read") as reader,
        concurrent.futures.ThreadPoolExecutor(1, "kertl-write") as writer,
    ):
        batches = _ahead(prepared(), reader)
        try:
            with contextlib.closing(batches):
                for version, chosen, batch in batches:
                    writing.append(writer.submit(finish, version, chosen, engine.run(batch.result())))
                    if len(writing) > _AHEAD:
                        writing.popleft().result()
        finally:
            for future in writing:
                future.result()


def _ahead(items: Iterator[Any], reader: concurrent.futures.Executor) -> Generator[Any, None, None]:
    """The items, the next few of which a thread makes in advance."""
    end = object()
    coming = collections.deque(reader.submit(next, items, end) for _ in range(_AHEAD))
    try:
        while (item := coming.popleft().result()) is not end:
            coming.append(reader.submit(next, items, end))
            yield item
    finally:
        for future in coming:
            future.cancel()


def _of(digests: np.ndarray | None, chosen: np.ndarray) -> np.ndarray:
    return chosen if digests is None else digests[chosen]
