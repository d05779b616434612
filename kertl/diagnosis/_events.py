"""Reading TensorBoard's event files, without TensorFlow: the scalars by epoch."""

from collections.abc import Iterator
from pathlib import Path

from kertl._checks import complain

_LARGEST_FILE = 2**30
# Keras' callback writes a folder for each part, and `epoch_` before the name of a metric.
_PARTS = {"train": "", "validation": "val_"}


def event_files(folder: Path) -> list[Path]:
    """The event files in a folder and the folders in it, those that were begun first in front."""
    return sorted(path for path in folder.rglob("*.tfevents.*") if path.is_file())


def read_events(source: Path) -> list[dict[str, float]]:
    """The epochs in a folder that `keras.callbacks.TensorBoard` wrote, or in one of its files; one mapping per epoch.

    The last value of an epoch counts, and a record that is still being written is left out, as in TensorBoard. Norms of
    gradients, `gradient_norm/<group>`, may be written at any steps; they are spread over the epochs in their order.

    Raises:
        ValueError: If a file is damaged, or there are no losses by epoch in it; the message says what there is.
    """
    rows: dict[int, dict[str, float]] = {}
    norms: dict[str, dict[int, float]] = {}
    other: dict[str, None] = {}
    for file in event_files(source) if source.is_dir() else [source]:
        prefix = _PARTS.get(file.parent.name, "")
        for step, tag, value in _scalars(file):
            if tag.startswith("epoch_"):
                rows.setdefault(step, {})[prefix + tag.removeprefix("epoch_")] = value
            elif tag.startswith("gradient_norm/"):
                norms.setdefault(tag, {})[step] = value
            else:
                other[tag] = None
    epochs = [rows[step] for step in sorted(rows) if "loss" in rows[step]]
    if not epochs:
        named = ", ".join(map(repr, list(other)[:8])) or "no scalars"
        raise complain(
            "source",
            "event files with the scalar 'epoch_loss', as keras.callbacks.TensorBoard writes them in train/ and "
            "validation/",
            f"{str(source)!r} with {named}",
            "Pass its scalars as a dictionary of lists: loss, val_loss, accuracy, val_accuracy.",
        )
    for tag, by_step in norms.items():
        values = [by_step[step] for step in sorted(by_step)]
        for number, row in enumerate(epochs):
            row[tag] = values[number * len(values) // len(epochs)]
    return epochs


def _scalars(file: Path) -> Iterator[tuple[int, str, float]]:
    """Step, tag and value of each scalar in a file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.util.tensor_util import make_ndarray

    for record in _records(file):
        event = Event.FromString(record)
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                yield event.step, value.tag, float(value.simple_value)
            elif value.WhichOneof("value") == "tensor":
                dtype, sides = value.tensor.dtype, [side.size for side in value.tensor.tensor_shape.dim]
                if not sides and dtype in (1, 2):  # float and double
                    yield event.step, value.tag, float(make_ndarray(value.tensor))


def _records(file: Path) -> Iterator[bytes]:
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    if file.stat().st_size > _LARGEST_FILE:
        raise complain("source", f"an event file of at most {_LARGEST_FILE:,} bytes", str(file))
    reader = PyRecordReader_New(str(file))
    while True:
        try:
            reader.GetNext()
        except errors.OutOfRangeError:
            return
        except errors.DataLossError as error:
            if "truncated" in str(error):
                return
            raise complain("source", "a sound event file of TensorBoard", str(file), f"{error.message}.") from error
        yield reader.record()
