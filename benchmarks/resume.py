"""Does a run that is killed again and again end with the same bits as one that is not, and what do checkpoints cost?

A MobileNetV2 that knows ImageNet is fine-tuned to find defective solar cells at 160 px: deep, mid and full stages,
light and strong augmentation, dropout, class weights, images from files listed in a CSV table. One run is not
interrupted; another is killed (SIGKILL) at random moments, even while loading and writing, and started again with the
same command until it ends. The SHA-256 over all weights must be equal. Checkpoints are timed in the uninterrupted run.

    python benchmarks/resume.py [--kills 20]

The last answer: see results/resume.csv.
"""

import argparse
import csv
import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STAGES = (("deep", "light", 3e-3), ("mid", "strong", 1e-4), ("full", "light", 3e-5))


def table(folder, count):
    """A CSV table of `count` photos in two classes."""
    import kertl.demo

    photos = kertl.demo.fetch_photos()
    rows = [line.split() for line in (photos / "labels.csv").read_text().splitlines() if line.strip()]
    with (folder / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        for name, probability, _ in rows[:: len(rows) // count][:count]:
            writer.writerow([photos / name, "defective" if float(probability) > 0.5 else "functional"])


class Written(logging.Handler):
    """Keeps bytes and seconds of each checkpoint."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.checkpoints = []

    def emit(self, entry):
        """Notes a checkpoint."""
        if entry.msg.startswith("Wrote checkpoint"):
            self.checkpoints.append(entry.args[1:])


def train(folder, every):
    """One run, to its end; prints digest, seconds, and what the checkpoints took."""
    import keras

    import kertl
    import kertl.demo

    written = Written()
    logging.getLogger("kertl").addHandler(written)
    logging.getLogger("kertl").setLevel(logging.DEBUG)
    keras.utils.set_random_seed(0)
    backbone = kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf")
    data = kertl.data.from_csv(folder / "cells.csv", image_size=backbone.input_shape[1:3], validation=0.15, test=0.15)
    model = kertl.build(backbone, class_names=data.class_names)
    stages = [
        kertl.Stage(at, epochs=2, augment=augment, learning_rate=rate, class_weights=True)
        for at, augment, rate in STAGES
    ]
    print("begins", flush=True)
    begun = time.perf_counter()
    run = kertl.fine_tune(
        model, data, recipe=kertl.Recipe(stages), run_dir=folder / "run", checkpoint_seconds=every, verbose=0
    )
    seconds = time.perf_counter() - begun
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in run.model.get_weights())).hexdigest()
    sizes, times = zip(*written.checkpoints, strict=True) if written.checkpoints else ([0], [0])
    print(digest, seconds, len(written.checkpoints), max(sizes), max(times), sum(times), flush=True)


def start(folder, every):
    """The same in a separate process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--every", str(every)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ended(process):
    """What `train` printed at its end, or None if it was killed."""
    output, _ = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, output
    digest, *numbers = output.split()[-6:]
    return digest, *map(float, numbers)


def killed_often(folder, every, kills, span):
    """Kill a run `kills` times, and let it end; the number of kills that hit it and the digest at its end."""
    done, chance = 0, random.Random(0)
    while done < kills:
        process = start(folder, every)
        time.sleep(chance.uniform(2, span))
        process.kill()
        if found := ended(process):
            return done, found[0]
        done += 1
        print(f"  kill {done}", flush=True)
    return done, ended(start(folder, every))[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between checkpoints in mid-epoch")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        train(arguments.folder, arguments.every)
        return
    import record

    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / kind for kind in ("undisturbed", "killed")]
        for folder in folders:
            folder.mkdir()
            table(folder, arguments.images)
        digest, seconds, count, size, longest, spent = ended(start(folders[0], 60))
        print(
            f"undisturbed: {seconds:.0f} s, {count:.0f} checkpoints of up to {size / 1e6:.1f} MB, {longest:.2f} s each"
        )
        print(f"             {spent / seconds:.1%} of the time, SHA-256 of the weights {digest[:16]}")
        done, found = killed_often(
            folders[1], arguments.every, arguments.kills, span=20 + 1.5 * seconds / arguments.kills
        )
        print(
            f"killed {done} times: SHA-256 of the weights {found[:16]}, {'equal' if found == digest else 'NOT EQUAL'}"
        )
    row = {
        "images": arguments.images,
        "seconds": round(seconds, 1),
        "checkpoints": int(count),
        "largest_mb": round(size / 1e6, 1),
        "longest_s": round(longest, 3),
        "share_of_time": round(spent / seconds, 4),
        "kills": done,
        "equal": found == digest,
    }
    record.keep("resume", [row])
    assert found == digest


if __name__ == "__main__":
    main()
