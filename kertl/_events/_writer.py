"""A file of events, appended to as training goes on.

`tensorboard.summary.Writer` and its `EventFileWriter` import TensorFlow where it is installed; records and messages do
not.
"""

import io
import itertools
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kertl.errors import RunError

_numbers = itertools.count()


class EventFile:
    """Events of a folder, appended to a file of their own there by `flush`, which makes both.

    In between no file is open, so that whoever is interrupted leaves none open, and copies can be made.

    Args:
        folder: TensorBoard calls it a run.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._name = ""
        self._events: list[bytes] = []

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Append a number."""
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.plugins.scalar.metadata import create_summary_metadata

        self._value(tag, TensorProto(dtype="DT_FLOAT", float_val=[value]), create_summary_metadata("", ""), step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Append a text in Markdown."""
        from tensorboard.plugins.text.metadata import create_summary_metadata

        self._value(tag, _texts([markdown.encode("utf-8", "replace")]), create_summary_metadata("", ""), step)

    def picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int, description: str = "") -> None:
        """Append a picture.

        Args:
            tag: Its name.
            encoded: A PNG or JPEG file.
            size: `(width, height)`.
            step: When it was made.
            description: What it shows, in Markdown.
        """
        from tensorboard.plugins.image.metadata import create_summary_metadata

        parts = [*(str(side).encode() for side in size), encoded]
        self._value(tag, _texts(parts, len(parts)), create_summary_metadata("", description), step)

    def precision_recall(self, tag: str, counts: np.ndarray, step: int) -> None:
        """Append a precision-recall curve, as `precision_recall` counts it."""
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.plugins.pr_curve.metadata import create_summary_metadata

        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=side) for side in counts.shape])
        values = TensorProto(dtype="DT_FLOAT", tensor_shape=shape, tensor_content=counts.astype("<f4").tobytes())
        self._value(tag, values, create_summary_metadata(tag, "", counts.shape[1]), step)

    def summary(self, summary: Any, step: int = 0) -> None:
        """Append a summary that is a message already, such as `session_start`."""
        self._append(summary=summary, step=step)

    def graph(self, graph: Any) -> None:
        """Append a graph, such as that of `graph_of`."""
        self._append(graph_def=graph.SerializeToString())

    def flush(self) -> None:
        """Write what was appended.

        Raises:
            RunError: If it cannot be written.
        """
        from tensorboard.summary.writer.record_writer import RecordWriter

        if not self._events:
            return
        held = io.BytesIO()
        for event in self._events:
            RecordWriter(held).write(event)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / self._name).open("ab") as file:
                file.write(held.getvalue())
        except OSError as error:
            advice = "Make room, or choose another folder."
            raise RunError(
                f"{str(self._folder)!r} cannot be written: {error.strerror or error}. {advice}", code="disk"
            ) from error
        self._events.clear()

    def _value(self, tag: str, tensor: Any, metadata: Any, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        value = Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
        self._append(summary=Summary(value=[value]), step=step)

    def _append(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        now = time.time()
        if not self._name:
            self._name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
            self._events.append(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        self._events.append(Event(wall_time=now, **fields).SerializeToString())


def _texts(parts: Sequence[bytes], length: int | None = None) -> Any:
    """Byte strings as a tensor: one alone, or so many."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[] if length is None else [TensorShapeProto.Dim(size=length)])
    return TensorProto(dtype="DT_STRING", tensor_shape=shape, string_val=parts)
