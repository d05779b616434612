"""Models that say what they are told."""

import numpy as np

import kertl


class Answers:
    """Says what it is told, whatever it is shown, and counts how often it is asked."""

    name = "told"
    weights = ()

    def __init__(self, rows):
        self.rows = np.asarray(rows, "float32")
        self.output_shape = (None, self.rows.shape[1])
        self.asked = []

    def predict(self, dataset, verbose):
        self.asked.append(list(dataset.files))
        return self.rows[[int(file.removeprefix("array:")) for file in dataset.files]]


def task_data(task, y, **options):
    pictures = np.stack([np.full((4, 4, 3), colour, "uint8") for colour in range(len(y))])
    return kertl.data.from_arrays(pictures, y, task=task, **{"validation": 0, "test": 0, **options})


def told(task, rows, names, thresholds=()):
    model = Answers(rows)
    return kertl.model.set_model_info(model, kertl.model.ModelInfo(task, tuple(names), "none", "1", thresholds))
