"""Does memory stay flat over 100,000 predictions into a file, and what does writing them cost?

Draws images of 32 px, predicts on all of them by `kertl.evaluation.predict_to_file` with an untrained MobileNetV2, and
notes the memory of the process after every part. Before, it times `kertl.predict` on 4,096 of them, which writes
nothing. Prints memory after a tenth of the parts and at the end, images a second of both, and whether each has one row.

    python benchmarks/many_predictions.py [--images 100000]
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import record
from PIL import Image

import kertl
from kertl.evaluation import _to_file

FEW = 4096


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


def memory():
    """Bytes of memory that the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = kertl.build("MobileNetV2", num_classes=10, weights=None, input_shape=(32, 32, 3))
    used, write = [], _to_file.write_text

    def watched(path, text):
        write(path, text)
        used.append(memory())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = draw(folder, options.images)
        kertl.predict(model, files[:64])  # compiles
        start = time.perf_counter()
        kertl.predict(model, files[:FEW])
        alone = min(FEW, len(files)) / (time.perf_counter() - start)
        _to_file.write_text = watched
        start = time.perf_counter()
        count = _to_file.predict_to_file(model, [folder], folder / "predictions.csv")
        into_file = count / (time.perf_counter() - start)
        with (folder / "predictions.csv").open(newline="") as file:
            rows = [Path(row["file"]) for row in csv.DictReader(file)]
    early, end = used[len(used) // 10], used[-1]
    once = len(rows) == len(set(rows)) == count and set(rows) == set(files)
    print(f"{count:,} rows, each image once: {once}")
    print(
        f"memory: {early / 1e6:.0f} MB after a tenth, {end / 1e6:.0f} MB at the end, {max(used) / 1e6:.0f} MB at most"
    )
    print(f"{alone:.0f} images/s by kertl.predict, {into_file:.0f} into the file: {into_file / alone:.2f} of it")
    row = {"images": count, "once": once, "mb_after_a_tenth": early // 10**6, "mb_at_the_end": end // 10**6}
    record.keep("many_predictions", [{**row, "images_s_alone": round(alone), "images_s_into_file": round(into_file)}])


if __name__ == "__main__":
    main()
