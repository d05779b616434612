"""Predictions for many callers at once: images that arrive while the model is busy go through it together."""

import asyncio
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

_MOST = 32


class Batching:
    """One thread that asks the model, in batches of 1, 2, 4, ... 32, each of which is compiled once.

    Args:
        model: The model.
    """

    def __init__(self, model: "keras.Model") -> None:
        self._model = model
        self._waiting: SimpleQueue[tuple[np.ndarray, asyncio.Future[np.ndarray], asyncio.AbstractEventLoop] | None]
        self._waiting = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="kertl-predictions", daemon=True)
        self._thread.start()

    async def ask(self, image: np.ndarray) -> np.ndarray:
        """The prediction for an image of shape `(height, width, channels)`, shape `(outputs,)`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        self._waiting.put((image, future, loop))
        return await future

    def close(self) -> None:
        """End the thread when what is waiting has been answered."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ends = [first], False
            while len(batch) < _MOST:
                try:
                    following = self._waiting.get_nowait()
                except Empty:
                    break
                if following is None:
                    ends = True
                    break
                batch.append(following)
            self._answer(batch)
            if ends:
                return

    def _answer(self, batch: list[Any]) -> None:
        images = np.stack([image for image, _, _ in batch])
        size = 1 << (len(images) - 1).bit_length()
        padded = np.concatenate([images, np.repeat(images[:1], size - len(images), axis=0)])
        try:
            said: Any = np.asarray(self._model.predict_on_batch(padded))[: len(images)]
        except Exception as error:  # whoever waits must be told, and others go on
            said = [error] * len(images)
        for (_, future, loop), one in zip(batch, said, strict=True):
            loop.call_soon_threadsafe(_finish, future, one)


def _finish(future: "asyncio.Future[np.ndarray]", value: Any) -> None:
    if future.cancelled():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
