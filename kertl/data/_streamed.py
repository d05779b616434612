"""Image files that are each read once, to predict on: what cannot be read is found on the way."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kertl.data._budget import threads
from kertl.data._decode import pixels_of, read_file
from kertl.data._issues import Issue
from kertl.data._listing import files_in, refuse_none
from kertl.data._readers import decoders
from kertl.errors import DataError


class FileBatches:
    """Image files, or all those in folders, in batches, in the order given; each pass reads every file once.

    Args:
        paths: Files or folders.
        image_size: `(height, width)` every image is resized to.
        resize: How, see `read_image`.
        channels: How many channels every image gets, see `read_image`.
        batch_size: Images per batch; the last one may be smaller.
        strict: Whether each file that is named, and not merely in a folder, must be readable.

    Attributes:
        shape: `(height, width, channels)` of every image.
        paths: All files, in order.
        files: Those that were read so far, in order.
        issues: Those that could not be, and what was passed over.
        failure: The error of the last pass, or None; see `data_errors`.
    """

    class_names = None
    labels = None

    def __init__(
        self,
        paths: Iterable[str | Path],
        *,
        image_size: tuple[int, int],
        resize: str = "stretch",
        channels: int = 3,
        batch_size: int = 32,
        strict: bool = True,
    ) -> None:
        self._given = [Path(path) for path in paths]
        self._passed_over: list[Issue] = []
        self.paths = files_in(self._given, self._passed_over)
        named = [path for path in self._given if not path.is_dir()] if strict else []
        self._named = set(files_in(named, []))
        self.shape = (*image_size, channels)
        self._resize, self._batch_size = resize, batch_size
        self.files: list[str] = []
        self.issues = self._passed_over.copy()
        self.failure: DataError | None = None
        self._portions = [self.paths[at : at + batch_size] for at in range(0, len(self.paths), batch_size)]
        self._begun: deque[Iterator[np.ndarray | DataError]] = deque()

    def start(self) -> None:
        """Decode the first batches while something else is done; the next pass goes on from there."""
        self._decode_ahead(self._begun, 0)

    def __len__(self) -> int:
        """The number of batches if every file can be read."""
        return math.ceil(len(self.paths) / self._batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The images, of shape `(batch, height, width, channels)` and type `uint8`.

        Raises:
            DataError: If a file that is named cannot be read, or no file can.
        """
        try:
            yield from self._batches()
        except DataError as error:
            self.failure = error
            raise

    def _batches(self) -> Iterator[np.ndarray]:
        self.files, self.issues = [], self._passed_over.copy()
        self._refuse_absent()
        held: list[np.ndarray] = []
        for path, found in self._read():
            if isinstance(found, DataError):
                self.issues.append(Issue(path, found.message))
                if path in self._named:
                    raise _unreadable(self.issues[-1:])
                continue
            self.files.append(path)
            held.append(found)
            if len(held) == self._batch_size:
                yield np.stack(held)
                held = []
        if held:
            yield np.stack(held)
        refuse_none(self.files, self._given, self.issues)

    def _refuse_absent(self) -> None:
        """Raise for what is not there before anything is decoded."""
        absent = [path for path in self.paths if path in self._named and not Path(path).exists()]
        issues = [Issue(path, str(self._pixels(path))) for path in absent[:3]]
        if absent:
            raise _unreadable(issues)

    def _read(self) -> Iterator[tuple[str, np.ndarray | DataError]]:
        """Each file with its pixels or the reason why there are none, some files ahead of those that were asked for."""
        ahead, self._begun = self._begun, deque()
        for number, portion in enumerate(self._portions):
            self._decode_ahead(ahead, number)
            yield from zip(portion, ahead.popleft(), strict=True)

    def _decode_ahead(self, ahead: deque[Iterator[np.ndarray | DataError]], number: int) -> None:
        """Let the threads have two batches to decode, from one on."""
        while len(ahead) < 2 and number + len(ahead) < len(self._portions):
            portion = self._portions[number + len(ahead)]
            ahead.append(decoders(threads()).map(self._pixels, portion))

    def _pixels(self, path: str) -> np.ndarray | DataError:
        try:
            return pixels_of(read_file(path)[0], self.shape[:2], self._resize, self.shape[2])
        except DataError as error:
            return error


def _unreadable(issues: list[Issue]) -> DataError:
    absolute = all(Path(issue.path).is_absolute() for issue in issues)
    where = "" if absolute else f" Paths are relative to {str(Path.cwd())!r}."
    return DataError(
        f"Every image that is named must be readable. Received: {'; '.join(map(str, issues))}.{where}",
        code="image-file",
    )
