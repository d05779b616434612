"""How long do images take, from a folder to batches?

Draws photos of 12 megapixels with shapes and grain and saves them as JPEG, as a phone does, and small PNG files; times
the check of the files and the reading of them at 160 px, and a second start on unchanged files. Three ways in turns, in
one process: every file decoded whole, by the check and by the reading ("whole"); JPEG decoded at a fraction of its
size, twice too ("scaled"); and what kertl does, at a fraction and once ("once"). Prints seconds, ratios, and how far
the pixels are apart.

    python benchmarks/big_photos.py [--photos 40] [--small 1000] [--rounds 3]
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import record
from PIL import Image

from kertl.data import _decode, _known, _scan, _sources, from_directory

SIZE = (160, 160)
WAYS = ("whole", "scaled", "once")
SETTLED = 2.5  # seconds, after which a file that was just written is remembered


def draw(folder, number, width, height, suffix):
    """A picture with shapes and grain."""
    random = np.random.default_rng(number)
    small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype="uint8"))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = random.integers(-12, 13, (height, width, 1), dtype=np.int16)
    place = folder / "ab"[number % 2] / f"{number}.{suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(place, quality=92)


def read(folder, way):
    """Seconds for checking the files, for reading them once, and for a second start; and the pixels."""
    with contextlib.ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.dict(os.environ, KERTL_CACHE=cache))
        replaced = []
        if way == "whole":
            replaced += [(_decode, "scaled_while_decoded"), (_scan, "scaled_while_decoded")]
        if way != "once":
            replaced += [(_sources, "room_for"), (_known.KnownFiles, "verdict")]
        for owner, function in replaced:
            stack.enter_context(mock.patch.object(owner, function, return_value=None))
        times = [time.perf_counter()]
        data = from_directory(folder, image_size=SIZE, validation=0, test=0)
        times.append(time.perf_counter())
        images = data.train.in_order()
        pixels = images.reader.take(np.arange(images.num_examples))
        times.append(time.perf_counter())
        from_directory(folder, image_size=SIZE, validation=0, test=0)
        times.append(time.perf_counter())
    return np.diff(times), pixels


def measure(what, folder, rounds):
    """Rows of the table for one folder."""
    times, pixels = {way: [] for way in WAYS}, {}
    for _ in range(rounds):
        for way in WAYS:
            seconds, pixels[way] = read(folder, way)
            times[way].append([seconds[:2].sum(), seconds[2]])
    assert np.array_equal(pixels["scaled"], pixels["once"])
    difference = np.abs(pixels["whole"].astype(int) - pixels["once"])
    print(f"{what}: pixels apart by {difference.mean():.2f} gray levels on average, {difference.max()} at most")
    rows = []
    for column, job in enumerate(("folder to pixels", "second start")):
        seconds = {way: np.array(times[way])[:, column] for way in WAYS}
        row = {"what": what, "job": job, **{way: float(np.median(seconds[way])) for way in WAYS}}
        for before in WAYS[:2]:
            row[f"times {before}"] = statistics.median(seconds[before] / seconds["once"])
        rows.append(row)
        shown = ", ".join(f"{way} {row[way]:.2f} s" for way in WAYS)
        print(f"{what}, {job}: {shown}: {row['times whole']:.1f} and {row['times scaled']:.1f} times", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.photos):
            draw(Path(name, "photos"), number, 4000, 3000, "jpg")
        for number in range(options.small):
            draw(Path(name, "small"), number, 300, 300, "png")
        time.sleep(SETTLED)
        rows = measure(f"{options.photos} photos of 12 megapixels", Path(name, "photos"), options.rounds)
        rows += measure(f"{options.small} PNG files of 300 x 300", Path(name, "small"), options.rounds)
    record.keep("big_photos", rows)


if __name__ == "__main__":
    main()
