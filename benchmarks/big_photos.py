"""How long do photos of 12 megapixels take, from a folder to batches?

Draws photos with shapes and grain, saves them as JPEG as a phone does, and times kertl's check of the files and the
reading of them at 160 px, with JPEG decoded whole and decoded at a fraction of its size, in turns in one process.
Prints images a second of both, and how far the pixels are apart.

    python benchmarks/big_photos.py [--photos 40] [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import record
from PIL import Image

from kertl.data import _decode, _scan, from_directory

SIZE = (160, 160)


def draw(folder, count):
    """Photos of 4,000 by 3,000 pixels."""
    for number in range(count):
        random = np.random.default_rng(number)
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype="uint8"))
        pixels = np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
        grain = random.integers(-12, 13, (3000, 4000, 1), dtype=np.int16)
        place = folder / "ab"[number % 2] / f"{number}.jpg"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(place, quality=92)


def read(folder):
    """Seconds for checking the files and for reading them once, and the pixels."""
    start = time.perf_counter()
    data = from_directory(folder, image_size=SIZE, validation=0, test=0)
    checked = time.perf_counter()
    images = data.train.in_order()
    pixels = images.reader.take(np.arange(images.num_examples))
    return checked - start, time.perf_counter() - checked, pixels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    scaled = _decode.scaled_while_decoded
    times = {"whole": [], "scaled": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, options.photos)
        for _ in range(options.rounds):
            pixels = {}
            for how, function in (("whole", lambda *_: None), ("scaled", scaled)):
                _decode.scaled_while_decoded = _scan.scaled_while_decoded = function
                check, reading, pixels[how] = read(folder)
                times[how].append((check, reading))
    difference = np.abs(pixels["whole"].astype(int) - pixels["scaled"])
    rows = []
    for place, what in enumerate(("check", "read")):
        before, after = (statistics.median(one[place] for one in times[how]) for how in ("whole", "scaled"))
        ratios = [one[place] / two[place] for one, two in zip(times["whole"], times["scaled"], strict=True)]
        rows.append((what, options.photos / before, options.photos / after, statistics.median(ratios)))
        print(
            f"{what}: {rows[-1][1]:.1f} images/s whole, {rows[-1][2]:.1f} scaled: {rows[-1][3]:.1f} times", flush=True
        )
    print(f"pixels apart by {difference.mean():.2f} gray levels on average, {difference.max()} at most")
    record.keep("big_photos", [dict(zip(("what", "whole", "scaled", "times"), row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
