"""What stands in the event files of a folder."""

import io
from collections import defaultdict

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import types_pb2


def values_of(folder):
    """Each value with its step, in the order in which they were written."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                yield event.step, value


def read(folder):
    """By tag, pairs of step and value: numbers, texts, arrays."""
    found = defaultdict(list)
    for step, value in values_of(folder):
        found[value.tag].append((step, _plain(value.tensor)))
    return dict(found)


def pictures(folder):
    """By tag, the last picture."""
    of_images = {
        value.tag: value.tensor.string_val[2] for _, value in values_of(folder) if len(value.tensor.string_val) == 3
    }
    return {tag: Image.open(io.BytesIO(encoded)) for tag, encoded in of_images.items()}


def _plain(tensor):
    if tensor.dtype == types_pb2.DT_STRING:
        return tensor.string_val[0].decode() if len(tensor.string_val) == 1 else list(tensor.string_val)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").reshape([side.size for side in tensor.tensor_shape.dim])
    return tensor.float_val[0] if tensor.float_val else None
