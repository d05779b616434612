"""The features of one data set, computed into their cache: memory, or files beside those made before."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl import __version__
from kertl._terminal import counted, span
from kertl.features._augmented import Augmenter
from kertl.features._choice import Choice, engines_of, identity
from kertl.features._features import InMemory, OnDisk, View
from kertl.features._keys import key_of, prefix_key
from kertl.features._layout import Layout
from kertl.features._passes import one_pass
from kertl.features._progress import Progress
from kertl.features._sources import Source
from kertl.features._store import Store
from kertl.groups import Chain
from kertl.hardware import on_accelerator
from kertl.model import computing_in, cut

_logger = logging.getLogger(__name__)

_SHARD_BYTES = 1 << 26
"""The most that is held back before it is written, over all versions."""
_SHARD_IMAGES = 100_000
"""The most images that are, so that the list of them stays short."""
_SHARD_SECONDS = 30.0
"""How long it is held back at most, which is what a kill can cost."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How images are varied, and how often."""

    strength: str | Sequence[Any]
    views: int
    seed: int


class Job:
    """What an extraction needs to know.

    Args:
        model: The model.
        chain: Its groups.
        first: The first group after the boundary.
        source: The images.
        augmentation: How they are varied; None leaves them unchanged.
        precision: The precision to compute in.
        at_once: Images that are computed at once; >= 1.
    """

    def __init__(
        self,
        model: keras.Model,
        chain: Chain,
        first: int,
        source: Source,
        augmentation: Augmentation | None,
        precision: str,
        at_once: int,
    ) -> None:
        self._model, self._chain, self._first = model, chain, first
        self._source, self._augmentation, self._precision = source, augmentation, precision
        self._key = None
        with contextlib.suppress(ValueError):
            self._key = prefix_key(chain, first)
        self._prefix, _ = cut(chain, first)
        self._shape = (at_once, *source.shape)
        dtype = source.dtype if augmentation is None else np.float32
        self._engines = engines_of(model, self._prefix, self._key, self._shape, dtype, precision)
        self._versions = range(augmentation.views if augmentation else 1)

    def layout(self, dtype: str) -> Layout:
        """What a row of features is."""
        shapes = self._prefix.compute_output_shape(self._shape)
        shapes = shapes if isinstance(shapes, list) else [shapes]
        return Layout(tuple(tuple(shape[1:]) for shape in shapes), dtype)

    def in_memory(self, layout: Layout, wanted: str, verbose: str | bool) -> tuple[list[View], Choice]:
        """All versions, in memory."""
        choice = self._engines.choose(wanted)
        views = [InMemory(layout, self._source.count) for _ in self._versions]
        digests = self._source.digests() if self._augmentation else None

        def put(version: int, rows: np.ndarray, outputs: list[np.ndarray]) -> None:
            views[version].put(rows, layout.pack(outputs, len(rows)))

        self._pass(np.arange(self._source.count), choice, put, digests, verbose)
        return list(views), choice

    def on_disk(self, layout: Layout, wanted: str, folder: Path, verbose: str | bool) -> tuple[list[View], Choice]:
        """All versions, in files; those that are already there are reused."""
        key = self._key or prefix_key(self._chain, self._first)
        engines = [identity(name, self._precision) for name in ("keras", "openvino")]
        rule = key_of({"prefix": key, "shape": self._shape, "engines": engines})
        choice = self._engines.choose(wanted, folder / f"engine-{rule[:32]}.json")
        shared = {
            "prefix": key,
            "kertl": __version__,
            "images": self._source.identity,
            "computed": identity(choice.name, self._precision),
            "dtype": layout.dtype,
        }
        keys = [key_of(shared | self._drawn(version)) for version in self._versions]
        stores = [Store(folder / key[:32], key, layout) for key in keys]
        digests = self._source.digests()
        known = np.logical_and.reduce([store.find(digests) for store in stores])
        _, firsts = np.unique(digests, return_index=True)  # of images that are the same, the first
        missing = np.intersect1d(np.flatnonzero(~known), firsts)
        if len(missing):
            writer = _Writer(stores, layout, digests)
            try:
                self._pass(missing, choice, writer.put, digests, verbose)
            finally:
                writer.flush()
        return [OnDisk(store.rows(digests)) for store in stores], choice

    def _pass(
        self, rows: np.ndarray, choice: Choice, put: Any, digests: np.ndarray | None, verbose: str | bool
    ) -> None:
        drawn = self._augmentation
        augmenter = Augmenter(drawn.strength, drawn.seed, self._shape) if drawn else None
        what = counted(len(rows), "image") + (f" in {counted(drawn.views, 'version')}" if drawn else "")
        _logger.info("Extracting features of %s with %s.", what, choice.name)
        begun = time.monotonic()
        with (
            computing_in(self._model, self._precision if choice.name == "keras" else "float32"),
            Progress(len(rows), verbose) as progress,
        ):
            one_pass(
                self._source,
                rows,
                self._engines.engine(choice.name),
                self._shape[0],
                put,
                versions=self._versions,
                augmenter=augmenter,
                digests=digests,
                progress=progress,
            )
        _logger.info("Extracted features of %s in %s.", what, span(time.monotonic() - begun))

    def _drawn(self, version: int) -> dict[str, Any]:
        """What a version of an image depends on besides the image and the model."""
        if self._augmentation is None:
            return {}
        settings = Augmenter(self._augmentation.strength, 0, self._shape).settings
        return {**dataclasses.asdict(self._augmentation), "views": version, "layers": settings, "batch": self._shape[0]}


class _Writer:
    """Collects whole batches of all versions and writes them to shards."""

    def __init__(self, stores: list[Store], layout: Layout, digests: np.ndarray) -> None:
        self._stores, self._layout, self._digests = stores, layout, digests
        self._kept: list[list[np.ndarray]] = [[] for _ in stores]
        self._images: list[list[np.ndarray]] = [[] for _ in stores]
        self._since, self._bytes, self._count = time.monotonic(), 0, 0

    def put(self, version: int, rows: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Add a version of a batch."""
        packed = self._layout.pack(outputs, len(rows))
        self._kept[version].append(packed)
        self._images[version].append(rows)
        self._bytes += packed.nbytes
        self._count += len(rows) if version == 0 else 0
        many = self._bytes >= _SHARD_BYTES or self._count >= _SHARD_IMAGES
        full = many or time.monotonic() - self._since >= _SHARD_SECONDS
        if full and version == len(self._stores) - 1:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        for store, kept, images in zip(self._stores, self._kept, self._images, strict=True):
            if kept:
                store.write(self._digests[np.concatenate(images)], np.concatenate(kept))
            kept.clear()
            images.clear()
        self._since, self._bytes, self._count = time.monotonic(), 0, 0


def batch_size() -> int:
    """Images that are computed at once where memory allows: more on an accelerator."""
    return 256 if on_accelerator() else 32
