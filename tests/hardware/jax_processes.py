"""Plain `fit` in one or several processes of JAX: `python -m tests.hardware.jax_processes FOLDER`.

`start` begins the processes on this machine. At its end each writes its weights to
FOLDER/<number>.npz.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.runs import REPOSITORY


def main(folder):
    import keras

    import kertl
    from tests.hardware.several import still
    from tests.messages import assert_names
    from tests.runs import NAMES, squares

    with kertl.hardware.setup("cpu") as hardware:
        keras.utils.set_random_seed(1)
        model = kertl.build(still(), class_names=NAMES, head=kertl.Head(dropout=0.0))
        data = squares(per_class=16, batch_size=8)
        stage = kertl.stage_model(model, at="full")
        stage.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
        fed = kertl.hardware.share(data.train)
        assert len(fed[0][1]) == 8 // hardware.workers
        history = stage.fit(fed, epochs=3, shuffle=False, verbose=0).history
        if hardware.workers > 1:
            try:
                kertl.fine_tune(model, data, verbose=0)
            except kertl.errors.SetupError as error:
                assert_names(error, "fine_tune", "2 processes", "TF_CONFIG", "kertl.hardware.share(data.train)")
            else:
                raise AssertionError("fine_tune ran")
        losses = [float(loss) for loss in history["loss"]]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{hardware.choice.worker}.npz", losses, *model.get_weights())
    print("replicas", hardware.replicas, flush=True)


def start(folder, count):
    """Begin so many processes; one alone is a plain process."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    begun = []
    for number in range(count):
        told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count), "JAX_PROCESS_ID": str(number)}
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **(told if count > 1 else {})}
        command = [sys.executable, "-m", "tests.hardware.jax_processes", str(folder)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes))
    return begun


def ended(begun, seconds=200):
    """Wait for all: status, what it printed, and its errors, of each."""
    found = []
    try:
        for process in begun:
            out, errors = process.communicate(timeout=seconds)
            found.append((process.returncode, out, errors[-3000:]))
    finally:
        for process in begun:
            process.kill()
    return found


def values(folder, number=0):
    with np.load(Path(folder) / f"{number}.npz") as arrays:
        return [arrays[name] for name in arrays.files]


if __name__ == "__main__":
    main(*sys.argv[1:])
