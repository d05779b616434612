"""How long do images take, from a folder to batches?

Draws photos of 12 megapixels with shapes and grain and saves them as JPEG, as a phone does, and small PNG files; times
the check of the files and the reading of them at 160 px, and a second start on unchanged files. Three ways in turns, in
one process: every file decoded whole, by the check and by the reading ("whole"); JPEG decoded at a fraction of its
size, twice too ("scaled"); and what kertl does, at a fraction and once ("once"). Prints seconds, also of the processor,
which other work slows down less, ratios, how far the pixels are apart, and how much of the check of a photo is the
decoding of its Huffman codes, which no fraction spares.

The last answer (24 photos and 600 PNG files, two cores at a load of 13; of the processor, and in brackets by the
clock): folder to pixels of photos 5.6 (6.1) times as fast as "whole", of PNG files 1.7 (1.8) times; a second start of
photos 423 (396) times, of PNG files 44 (52) times. In earlier runs by the clock photos were at 3.6 to 4.7 and PNG
files, whose second start took more steps of Python for each file, at 13 to 23. Of the 41 ms that the check of a photo
takes, 36 are its codes.

    python benchmarks/big_photos.py [--photos 40] [--small 1000] [--rounds 3]
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import record
from PIL import Image

from kertl.data import _decode, _kept, _known, _scan, _sources, from_directory

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


def now():
    """The time, and that of the processor."""
    return time.perf_counter(), time.process_time()


def read(folder, way):
    """Seconds, also of the processor, for the check and one reading, and for a second start; and the pixels."""
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
        times = [now()]
        data = from_directory(folder, image_size=SIZE, validation=0, test=0)
        images = data.train.in_order()
        pixels = images.reader.take(np.arange(images.num_examples))
        times.append(now())
        from_directory(folder, image_size=SIZE, validation=0, test=0)
        times.append(now())
    return np.diff(times, axis=0), pixels


def measure(what, folder, rounds):
    """Rows of the table for one folder."""
    times, pixels = {way: [] for way in WAYS}, {}
    for _ in range(rounds):
        for way in WAYS:
            seconds, pixels[way] = read(folder, way)
            times[way].append(seconds.ravel())
    assert np.array_equal(pixels["scaled"], pixels["once"])
    difference = np.abs(pixels["whole"].astype(int) - pixels["once"])
    print(f"{what}: pixels apart by {difference.mean():.2f} gray levels on average, {difference.max()} at most")
    rows = []
    jobs = ("folder to pixels", "folder to pixels, processor", "second start", "second start, processor")
    for column, job in enumerate(jobs):
        seconds = {way: np.array(times[way])[:, column] for way in WAYS}
        row = {"what": what, "job": job, **{way: float(np.median(seconds[way])) for way in WAYS}}
        for before in WAYS[:2]:
            row[f"times {before}"] = statistics.median(seconds[before] / seconds["once"])
        rows.append(row)
        shown = ", ".join(f"{way} {row[way]:.2f} s" for way in WAYS)
        print(f"{what}, {job}: {shown}: {row['times whole']:.1f} and {row['times scaled']:.1f} times", flush=True)
    return rows


def huffman(folder):
    """Milliseconds of the processor that the check of a photo takes, and that its decoding to gray at 1/8 takes."""
    found = []
    for path in folder.rglob("*.jpg"):
        kept, start = _kept.room_for(1, SIZE, "stretch", 3), time.process_time()
        _scan._verdict(str(path), 3, kept)
        checked, image = time.process_time(), Image.open(io.BytesIO(path.read_bytes()))
        image.draft("L", (image.width // 8, image.height // 8))
        image.load()
        found.append((checked - start, time.process_time() - checked))
    return np.median(found, axis=0) * 1000


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
        print(
            "check of a photo {:.1f} ms of the processor, its codes alone {:.1f}".format(*huffman(Path(name, "photos")))
        )
        rows += measure(f"{options.small} PNG files of 300 x 300", Path(name, "small"), options.rounds)
    record.keep("big_photos", rows)


if __name__ == "__main__":
    main()
