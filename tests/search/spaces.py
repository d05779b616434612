"""A small search: pictures of coloured squares, a tiny backbone, and spaces of few choices."""

import keras

import kertl
from kertl.search import Candidate
from tests.families import lively, tiny_backbone
from tests.runs import squares


def backbone():
    keras.utils.set_random_seed(1)
    return kertl.load_backbone(lively(tiny_backbone(), squares().train[0][0].astype("float32")))


def heads(hp, names):
    """The rate, the width and, of wide ones, the dropout of a head."""
    rate = hp.Choice("learning_rate", [0.001, 0.003, 0.01, 0.03])
    units = hp.Choice("units", [4, 8, 16])
    with hp.conditional_scope("units", [16]):
        dropout = hp.Choice("dropout", [0.0, 0.2])
    head = kertl.Head(hidden_units=(units,), dropout=dropout or 0.0)
    return Candidate(names[0], kertl.Recipe(stages=[stage("deep", rate)]), head)


def stage(at, rate=0.01, **options):
    return kertl.Stage(at, **{"epochs": 1, "learning_rate": rate, "augment": "none", "batch_size": 8, **options})


def fixed(*stages, **head):
    """A space of one candidate."""

    def space(hp, names):
        hp.Fixed("one", 1)
        recipe = kertl.Recipe(stages=stages)
        return Candidate(names[0], recipe, kertl.Head(**{"dropout": 0.0, "batch_norm": False, **head}))

    return space
