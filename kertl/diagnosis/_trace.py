"""Reading what TensorFlow's and JAX's profilers write, without either: which operation ran when.

Both write a message `XSpace` into `plugins/profile/<time>/<host>.xplane.pb`, which TensorBoard's profile plugin reads.

Reference:
    The message: https://github.com/openxla/xla/blob/main/third_party/tsl/tsl/profiler/protobuf/xplane.proto
"""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kertl._checks import complain

STEP = "kertl_step"
"""What a step of training is called in the trace."""

_LARGEST_FILE = 2**30
# Message, field, number in the file, type (a number of protobuf's, or the name of a message), repeated.
_FIELDS: tuple[tuple[str, str, int, int | str, bool], ...] = (
    ("Event", "metadata_id", 1, 3, False),
    ("Event", "offset_ps", 2, 3, False),
    ("Event", "duration_ps", 3, 3, False),
    ("Line", "name", 2, 9, False),
    ("Line", "timestamp_ns", 3, 3, False),
    ("Line", "events", 4, "Event", True),
    ("Metadata", "name", 2, 9, False),
    ("Entry", "key", 1, 3, False),
    ("Entry", "value", 2, "Metadata", False),
    ("Plane", "name", 2, 9, False),
    ("Plane", "lines", 3, "Line", True),
    ("Plane", "event_metadata", 4, "Entry", True),
    ("Space", "planes", 1, "Plane", True),
)
# TensorFlow's thread that waits for the next batch, and Python's on JAX.
_INPUT = re.compile(r"IteratorGetNext(Op::DoCompute|AsOptional.*)?|\$builtins next")
_TF_OPERATION = re.compile(r"(?P<name>[^:\s]+):_?(?P<kind>[A-Za-z]\w*)")
# These call other operations, or bring data.
_OTHERS = re.compile(r"(Stateful)?PartitionedCall|(Stateless)?(While|If|Case)|.*(Iterator|PyFunc|Dataset).*")
_XLA_OPERATION = re.compile(r"[a-z][\w.\-]*")


class Span(NamedTuple):
    """When something ran, in picoseconds."""

    name: str
    start: int
    stop: int


class Trace(NamedTuple):
    """What a profiler saw: the steps, when one waited for a batch, and the operations."""

    steps: list[Span]
    inputs: list[Span]
    operations: list[Span]


def trace_files(source: Path) -> list[Path]:
    """The traces in a folder, the last one first."""
    found = source.rglob("plugins/profile/*/*.xplane.pb")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, str(path)), reverse=True)


def read_trace(file: Path) -> Trace:
    """The trace in a file.

    Raises:
        ValueError: If it is not what a profiler writes.
    """
    from google.protobuf.message import DecodeError

    try:
        size = file.stat().st_size
        if size > _LARGEST_FILE:
            raise complain("source", f"a trace of at most {_LARGEST_FILE:,} bytes", str(file), "Profile fewer steps.")
        space = _space().FromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise complain("source", "a trace that a profiler wrote (*.xplane.pb)", str(file), f"({error})") from error
    trace = Trace([], [], [])
    for plane in space.planes:
        device = plane.name.startswith("/device:")
        for line, span in _spans(plane):
            if span.name == STEP:
                trace.steps.append(span)
            elif _INPUT.fullmatch(span.name) and not line.startswith("tf_data_iterator_resource"):
                trace.inputs.append(span)
            elif operation := _operation(line, span.name, device):
                trace.operations.append(Span(operation, *span[1:]))
    return trace


def merged(spans: Sequence[Span]) -> np.ndarray:
    """The times covered by any of some spans: rows of start and stop that do not overlap, in their order."""
    found: list[list[int]] = []
    for _, start, stop in sorted(spans, key=lambda one: one.start):
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], stop)
        else:
            found.append([start, stop])
    return np.array(found, np.int64).reshape(-1, 2)


def covered(times: np.ndarray, start: int, stop: int) -> int:
    """How much of a span the `merged` times cover."""
    return int(np.maximum(np.minimum(times[:, 1], stop) - np.maximum(times[:, 0], start), 0).sum())


def _spans(plane: Any) -> Iterator[tuple[str, Span]]:
    """All that ran, with the name of the thread or stream."""
    names = {entry.key: entry.value.name for entry in plane.event_metadata}
    for line in plane.lines:
        begun = line.timestamp_ns * 1000
        for event in line.events:
            start = begun + event.offset_ps
            # TensorFlow puts the number of a step behind its name.
            yield line.name, Span(names.get(event.metadata_id, "").split("#")[0], start, start + event.duration_ps)


def _operation(line: str, name: str, device: bool) -> str | None:
    """What an operation of the model is called; None of anything else."""
    if device:
        return name if line.startswith(("Stream", "XLA Ops")) else None
    if line.startswith("tf_data"):
        return None
    if line.startswith("tf_XLA"):
        return name if _XLA_OPERATION.fullmatch(name) else None
    found = _TF_OPERATION.fullmatch(name)
    if found is None or _OTHERS.fullmatch(found["kind"]):
        return None
    return found["name"].removeprefix("StatefulPartitionedCall/")


@functools.cache
def _space() -> Any:
    """The class of the message, of which only what is read here is known."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="kertl_trace.proto", package="kertl_trace", syntax="proto3")
    messages = {name: file.message_type.add(name=name) for name in dict.fromkeys(row[0] for row in _FIELDS)}
    for message, name, number, kind, repeated in _FIELDS:
        field = messages[message].field.add(name=name, number=number, label=3 if repeated else 1)
        if isinstance(kind, str):
            field.type, field.type_name = 11, f".kertl_trace.{kind}"
        else:
            field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kertl_trace.Space"))
