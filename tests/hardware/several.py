"""A run on one or several workers of TensorFlow: `python -m tests.hardware.several FOLDER [RECIPE]`.

`start` begins the workers as processes of this machine. At its end each writes its weights to FOLDER/<number>.npz. With
KERTL_TEST_DIES="<worker>:<batch>" that worker is killed after so many batches.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import kertl
from tests.families import tiny_backbone
from tests.runs import NAMES, REPOSITORY, quick, recipe, squares

PLAIN = {"optimizer": "sgd", "learning_rate": 0.05, "label_smoothing": 0.0}
RECIPES = {
    "plain": lambda: recipe(quick("deep", **PLAIN), quick("full", epochs=2, **PLAIN)),
    "random": lambda: recipe(quick("mid", augment="strong", epochs=2, **PLAIN), quick("full", **PLAIN)),
    "auto": lambda: "auto",
    "other": lambda: recipe(quick("deep", **PLAIN)),
}


class Dies(keras.callbacks.Callback):
    """Kills its own process after so many batches."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def get_state(self):
        return None


def main(folder, name="plain"):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    worker, left = (int(text) for text in os.environ.get("KERTL_TEST_DIES", "-1:-1").split(":"))
    with kertl.hardware.setup("cpu") as hardware:
        keras.utils.set_random_seed(1 + hardware.choice.worker)  # the chief's weights are those of all
        head = {"depths": "auto"} if name == "auto" else {"dropout": 0.3 if name == "random" else 0.0}
        if name == "plain":
            head["batch_norm"] = False
        model = kertl.build(tiny_backbone() if name != "plain" else still(), class_names=NAMES, head=kertl.Head(**head))
        here = hardware.choice.worker == worker
        run = kertl.fine_tune(
            model,
            squares(per_class=16, batch_size=8, seed=hardware.choice.worker if name == "other" else 0),
            recipe=RECIPES[name](),
            callbacks=[Dies(left if here else -1)],
            run_dir=folder / "run",
            verbose=0,
        )
    np.savez(folder / f"{hardware.choice.worker}.npz", *model.get_weights())
    accuracy = run.metrics["test"]["accuracy"]
    print("ended", json.dumps({"accuracy": accuracy, "losses": run.history.get("loss", []), "at": str(run.run_dir)}))


def still():
    """The tiny backbone without dropout."""
    backbone = tiny_backbone()
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone


def told(workers):
    """What TF_CONFIG tells each of so many workers on this machine, as environments."""
    sockets = [socket.socket() for _ in range(workers)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    cluster = {"worker": [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]}
    for one in sockets:
        one.close()
    tasks = [{"type": "worker", "index": number} for number in range(workers)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def start(folder, *arguments, workers=2, **environment):
    """Begin so many workers; one alone is a plain process without TF_CONFIG."""
    shared = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.hardware.several", str(folder), *arguments],
            cwd=REPOSITORY,
            env={**shared, **config},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for config in (told(workers) if workers > 1 else [{}])
    ]


def ended(processes, seconds=150):
    """Wait for all: status, what it said at the end, and its errors, of each."""
    found = []
    try:
        for process in processes:
            out, errors = process.communicate(timeout=seconds)
            last = [json.loads(line[6:]) for line in out.splitlines() if line.startswith("ended ")]
            found.append((process.returncode, last[-1] if last else None, errors))
    finally:
        for process in processes:
            process.kill()
    return found


def weights(folder, worker=0):
    with np.load(Path(folder) / f"{worker}.npz") as arrays:
        return [arrays[name] for name in arrays.files]


if __name__ == "__main__":
    main(*sys.argv[1:])
