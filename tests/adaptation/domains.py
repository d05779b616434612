"""Two domains for tests: coloured squares, and the same under other light."""

import numpy as np

import kertl
from tests.runs import NAMES, squares


def pictures(data):
    return data.reader.take(np.arange(data.num_examples))


def as_data(x, labels, names=NAMES):
    return kertl.data.from_arrays(x, labels, class_names=list(names), validation=0, test=0)


def source(seed=1, per_class=40):
    return squares(per_class=per_class, seed=seed, validation=0, test=0)


def dimmed(seed=2, per_class=40):
    """Other squares, at a third of the contrast and brighter."""
    data = source(seed, per_class)
    return as_data((pictures(data.train) // 3 + 150).astype("uint8"), data.train.labels)
