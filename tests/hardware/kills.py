"""Two workers of `kertl train` under TF_CONFIG, one of which is killed: `python -m tests.hardware.kills [--kills 10]`.

A run is not disturbed. In another, at a random moment after its directory has been opened, one of the two processes
gets SIGKILL, the chief or the other in turn, and both are started again with the same command; so many times, until the
last start is left alone. Prints a line for each kill, and whether the weights of both runs are equal to the last bit.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from tests.families import tiny_backbone
from tests.hardware.several import told
from tests.runs import COLOURS, REPOSITORY, squares

LEFT = 60
"""Seconds in which a process must see that the other one has gone; then it is killed too, as a cluster would do."""


def prepare(folder):
    """Photos in class folders, and a small backbone."""
    data = squares(per_class=24, validation=0, test=0)
    names = list(COLOURS)
    for number, (picture, label) in enumerate(zip(*_all(data), strict=True)):
        path = folder / "photos" / names[int(label)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype("uint8")).save(path)
    keras.utils.set_random_seed(0)
    tiny_backbone().save(folder / "tiny.keras")


def _all(data):
    batches = [data.train.in_order().batch(0, number) for number in range(len(data.train))]
    return [np.concatenate([batch[part] for batch in batches]) for part in (0, 1)]


def begin(folder, out):
    """Both processes of one start."""
    command = [sys.executable, "-m", "kertl", "train", str(folder / "photos"), "--out", str(out), "--image-size", "32"]
    command += ["--backbone", str(folder / "tiny.keras"), "--recipe", "mid", "--epochs", "6", "--batch-size", "8"]
    command += ["--validation", "0.25", "--test", "0.25"]  # shares of 8 and of the rests are even
    shared = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environments = [{**shared, **config} for config in told(2)]
    return [subprocess.Popen(command, cwd=REPOSITORY, env=one, **pipes) for one in environments]


def ended(processes, seconds):
    """Wait for both, and kill what is left: status and output of each."""
    found = []
    try:
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
    finally:
        for process in processes:
            process.kill()
        found += [(process.returncode, process.communicate()[0]) for process in processes]
    return found


def opened(out, processes):
    """Wait until the run's directory has been opened by this start, whose environment.json is new; when that was."""
    file, begun = out / "environment.json", time.time()
    while not (file.exists() and file.stat().st_mtime >= begun) and all(one.poll() is None for one in processes):
        time.sleep(0.02)
    return time.monotonic()


def kill_one(processes, which, delay):
    """Kill one after so many seconds, unless it ended before; statuses, and whether the other one named the loss."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        processes[which].wait(timeout=delay)
    processes[which].kill()
    found = ended(processes, LEFT)
    return [status for status, _ in found], "Another of the 2 workers has gone" in found[1 - which][1]


def weights(out):
    """The weights of a finished run."""
    return keras.models.load_model(out / "model.keras", compile=False).get_weights()


def equal(one, other):
    """Whether two runs ended with the same bits."""
    pairs = zip(weights(one), weights(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def epochs(out):
    """The epochs that are in history.csv so far."""
    file = out / "history.csv"
    return len(file.read_text().splitlines()) - 1 if file.exists() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        undisturbed = begin(folder, folder / "undisturbed")
        start = opened(folder / "undisturbed", undisturbed)
        found = ended(undisturbed, 900)
        assert [status for status, _ in found] == [0, 0], found
        seconds = time.monotonic() - start
        print(f"undisturbed: {epochs(folder / 'undisturbed')} epochs, {seconds:.0f} s", flush=True)
        out = folder / "killed"
        for number in range(options.kills):
            processes = begin(folder, out)
            opened(out, processes)
            # Mostly early, since each start that gets far leaves less to be killed.
            delay = moments.uniform(0, seconds) ** 2 / seconds / 2
            statuses, named = kill_one(processes, number % 2, delay)
            print(
                f"kill {number + 1}: worker {number % 2} after {delay:.1f} s, statuses {statuses}, loss named {named}, "
                f"{epochs(out)} epochs done",
                flush=True,
            )
        found = ended(begin(folder, out), 900)
        assert [status for status, _ in found] == [0, 0], found
        print("equal to the last bit:", equal(folder / "undisturbed", out), flush=True)


if __name__ == "__main__":
    main()
