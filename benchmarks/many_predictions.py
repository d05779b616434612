"""Are 100,000 predictions in a file with memory flat, after kills, and how much slower is that than predicting alone?

Draws images of 32 px and predicts on all of them by `kertl.evaluation.predict_to_file` with an untrained MobileNetV2. A
process that does so is killed three times (SIGKILL), each time at a random moment after a twentieth more of the parts;
this one does the rest. Ten times on the way it times `kertl.predict`, which writes nothing, on 2,048 of the images:
the engine's own speed, in turn with that into the file. Prints the peak of memory after 10,000 images and at the end,
both speeds by clock and by processor time, and whether each image has one row.

    python benchmarks/many_predictions.py [--images 100000]
"""

import argparse
import csv
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import record
from PIL import Image

import kertl
from kertl.evaluation import _to_file

FEW, EARLY = 2048, 10_000


def draw(folder, count):
    """Images of noise, the same number of them in each of 100 folders."""
    random = np.random.default_rng(0)
    files = []
    for number in range(count):
        place = folder / f"{number % 100:02}" / f"{number:06}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype="uint8")).save(place, compress_level=1)
        files.append(place)
    return files


def model_asked():
    keras.utils.set_random_seed(0)
    return kertl.build("MobileNetV2", num_classes=10, weights=None, input_shape=(32, 32, 3))


def kill_three_times(folder, out, images):
    """Processes that predict, each killed after a twentieth more of the parts; how many parts are there then."""
    parts, wanted = out.with_name(f"{out.name}.parts"), max(1, images // _to_file._CHUNK // 20)
    for number in (1, 2, 3):
        child = subprocess.Popen([sys.executable, __file__, "--only", folder, out])
        while child.poll() is None and len(list(parts.glob("[0-9]*.csv"))) < number * wanted:
            time.sleep(0.02)
        time.sleep(random.random() / 5)
        child.send_signal(signal.SIGKILL)
        print(f"killed: {child.wait() == -signal.SIGKILL}", flush=True)
    return len(list(parts.glob("[0-9]*.csv")))


class Clocks:
    """Seconds and processor seconds of predicting into the file and of predicting alone, and the peak of memory."""

    def __init__(self, model, files, parts):
        self.model, self.files, self.parts = model, files, parts
        self.written, self.peaks = 0, []
        self.file, self.alone, self.count_alone = np.zeros(2), np.zeros(2), 0
        self.begun = self.now()

    def now(self):
        """Both clocks."""
        return np.array([time.perf_counter(), time.process_time()])

    def part_written(self):
        """Note the peak of memory; in a tenth of the cases, time predicting alone."""
        self.written += 1
        self.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        if self.written % max(1, self.parts // 10) == 0:
            self.file += self.now() - self.begun
            before = self.now()
            self.count_alone += len(kertl.predict(self.model, self.files))
            self.alone += self.now() - before
            self.begun = self.now()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--only", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = model_asked()
    if options.only:
        _to_file.predict_to_file(model, [options.only[0]], options.only[1])
        return
    write = _to_file.write_text
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "images", Path(name) / "predictions.csv"
        folder.mkdir()
        files = draw(folder, options.images)
        there = kill_three_times(folder, out, options.images)
        kertl.predict(model, files[:FEW])  # compiles
        clocks = Clocks(model, files[:FEW], -(-options.images // _to_file._CHUNK) - there)

        def watched(path, text):
            write(path, text)
            clocks.part_written()

        _to_file.write_text = watched
        count = _to_file.predict_to_file(model, [folder], out)
        clocks.file += clocks.now() - clocks.begun
        with out.open(newline="") as file:
            rows = [Path(row["file"]) for row in csv.DictReader(file)]
    done = count - there * _to_file._CHUNK
    into_file, alone = done / clocks.file, clocks.count_alone / clocks.alone
    early, end = clocks.peaks[min(EARLY // _to_file._CHUNK, len(clocks.peaks) - 1)], clocks.peaks[-1]
    once = len(rows) == len(set(rows)) == count and set(rows) == set(files)
    print(f"{count:,} rows, each image once: {once}; {done:,} of them by this process")
    print(f"peak of memory: {early:.0f} MB after {EARLY:,} images, {end:.0f} MB at the end")
    for unit, one, other in zip(("a second", "a processor second"), into_file, alone, strict=True):
        print(f"images {unit}: {other:.0f} by kertl.predict, {one:.0f} into the file: {one / other:.3f} of it")
    row = {"images": count, "once": once, "peak_mb_early": round(early), "peak_mb_end": round(end)}
    row |= {"images_s_alone": round(alone[0]), "images_s_into_file": round(into_file[0])}
    row |= {"share": round(into_file[0] / alone[0], 3), "share_by_processor_time": round(into_file[1] / alone[1], 3)}
    record.keep("many_predictions", [row])


if __name__ == "__main__":
    main()
