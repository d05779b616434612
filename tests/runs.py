"""Small data, models and recipes for tests of whole runs."""

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np

import kertl
from tests.families import small_backbone, tiny_backbone

COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (210, 50, 40)}
NAMES = list(COLOURS)
REPOSITORY = Path(__file__).parents[1]


def squares(per_class=16, side=32, seed=0, **options):
    """Noisy pictures, each with a square of its class's colour."""
    random = np.random.default_rng(seed)
    x, y = [], []
    for number, colour in enumerate(COLOURS.values()):
        for _ in range(per_class):
            picture = random.integers(90, 160, (side, side, 3))
            top, left = random.integers(0, side // 2, 2)
            picture[top : top + side // 2, left : left + side // 2] = colour
            x.append(picture)
            y.append(number)
    options = {"validation": 0.25, "test": 0.25, "batch_size": 8, "class_names": NAMES, **options}
    return kertl.data.from_arrays(np.array(x, "uint8"), y, **options)


def classifier(seed=1, backbone=small_backbone, **head):
    """A new head, drawn by `seed`, on a backbone that is always the same."""
    keras.utils.set_random_seed(1)
    backbone = backbone()
    keras.utils.set_random_seed(seed)
    return kertl.build(backbone, class_names=NAMES, head=kertl.Head(**{"dropout": 0.1, **head}))


def tiny(seed=1, **head):
    """The same on a backbone of half as many layers, for tests that train again and again."""
    return classifier(seed, tiny_backbone, **head)


def recipe(*stages, **options):
    return kertl.Recipe(stages=[one if isinstance(one, kertl.Stage) else quick(one) for one in stages], **options)


def quick(at="deep", **options):
    return kertl.Stage(at, **{"epochs": 1, "augment": "none", "learning_rate": 0.01, "cache": False, **options})


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def weights(model):
    """The values of all variables but the states of random generators, by path."""
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in model.variables if "seed" not in v.path}


def same(before, after):
    assert before.keys() == after.keys()
    return {path: np.array_equal(before[path], after[path]) for path in before}


def python(code, **environment):
    """What a new Python process prints for `code`."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def digest(model):
    """SHA-256 over all weights of a model."""
    found = hashlib.sha256()
    for value in model.get_weights():
        found.update(value.tobytes())
    return found.hexdigest()


def unwrapped(text):
    """What the command line printed, without the frame and the line breaks of a narrow terminal."""
    return " ".join(text.replace("│", " ").split())
