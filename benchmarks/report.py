"""How long does the report of a run take, and how large is it?

A run of `--images` photos of 320 by 240 pixels in five classes, MobileNetV2 with random weights at `--side` px, whose
head is solved (`--stage exact`, features are kept) or trained with augmentation (`--stage augmented`). Timed are the
report that `fine_tune` ends with, and `kertl report RUN` in a process of its own, twice: first where the run has kept
no features, so that those of all images are extracted. What a command takes that only starts Keras, `kertl doctor`, is
printed beside it. The issue asks for at most 20 s and 10 MB at 2,000 images; seconds of the processor do not depend on
how busy the machine is.

The last answer (two cores that others kept at a load of 15): 24.6 s of the processor with no features kept and 15.6 s
with them, of which 3.2 s start Keras; 0.09 MB. The photos are noise, so that those shown are small, and the features of
random weights are all equal, so that no doubtful labels are looked for: with real weights that comes on top.

    python benchmarks/report.py [--images 2000] [--side 96] [--stage exact]
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import record
from PIL import Image

CLASSES = ("crack", "dust", "good", "scratch", "shadow")


def photos(folder, count):
    """Smooth noise, tinted by class."""
    for number in range(count):
        random, name = np.random.default_rng(number), CLASSES[number % len(CLASSES)]
        small = random.integers(0, 200, (12, 16, 3)) + np.array([number % len(CLASSES) * 10, 0, 0])
        (folder / name).mkdir(parents=True, exist_ok=True)
        whole = Image.fromarray(small.clip(0, 255).astype("uint8")).resize((320, 240), Image.Resampling.BICUBIC)
        whole.save(folder / name / f"{number}.jpg")
    return folder


def timed(command):
    """Seconds, and those of the processor, that a command takes."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "kertl", *command], check=True, capture_output=True)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--stage", choices=("exact", "augmented"), default="exact")
    options = parser.parse_args()
    import kertl

    stage = kertl.Stage("deep", solver="exact")
    if options.stage == "augmented":
        stage = kertl.Stage("deep", epochs=1, augment="light", learning_rate=1e-3, cache=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = photos(folder / "photos", options.images)
        shape = (options.side, options.side, 3)
        data = kertl.data.from_directory(images, image_size=shape[:2], validation=0.15, test=0.15)
        model = kertl.build("MobileNetV2", class_names=data.class_names, weights=None, input_shape=shape)
        recipe = kertl.Recipe(stages=[stage])
        run = kertl.fine_tune(model, data, recipe=recipe, run_dir=folder / "run", report=False, verbose=0)
        begun = time.perf_counter()
        page = run.report()
        at_once = time.perf_counter() - begun
        shutil.rmtree(folder / "run" / "features")
        start, first, again = (timed(command) for command in (["doctor"], *[["report", str(folder / "run")]] * 2))
        row = {
            "images": options.images,
            "side": options.side,
            "stage": options.stage,
            "in_fine_tune_seconds": round(at_once, 1),
            "command_seconds": round(first[0], 1),
            "start_seconds": round(start[0], 1),
            "command_processor_seconds": round(first[1], 1),
            "again_processor_seconds": round(again[1], 1),
            "start_processor_seconds": round(start[1], 1),
            "megabytes": round(page.stat().st_size / 2**20, 2),
        }
        print(row)
        record.keep("report", [row])


if __name__ == "__main__":
    main()
