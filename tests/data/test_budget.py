"""What is decoded at the same time."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.data import _decode, _readers, _scan
from kertl.data._budget import Budget
from tests.data.faults import scene


class Watched:
    """Stands for `upright`, and knows how many pixels are decoded at the same time, at most."""

    def __init__(self, upright):
        self.upright, self.lock, self.now, self.most, self.calls = upright, threading.Lock(), 0, 0, 0

    def __call__(self, image, **options):
        pixels = image.width * image.height
        with self.lock:
            self.now, self.calls = self.now + pixels, self.calls + 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)  # so that the others could begin
        try:
            return self.upright(image, **options)
        finally:
            with self.lock:
                self.now -= pixels


@pytest.mark.parametrize(("room", "at_once"), [(1000, 1), (2100, 2), (10_000, 4)])
def test_only_so_many_pixels_are_decoded_at_the_same_time(tmp_path, monkeypatch, room, at_once):
    (tmp_path / "a").mkdir()
    for k in range(12):
        scene(20, 50, seed=k).save(tmp_path / "a" / f"{k}.png")
    watched = Watched(_decode.upright)
    monkeypatch.setattr(_decode, "IN_FLIGHT", Budget(room))
    monkeypatch.setattr(_scan, "_AT_ONCE", 1)
    for module in (_scan, _readers):
        monkeypatch.setattr(module, "threads", lambda: 4)
    for module in (_scan, _decode):
        monkeypatch.setattr(module, "upright", watched)
    data = kertl.data.from_directory(tmp_path, image_size=(4, 4), validation=0, test=0)
    assert (watched.most, watched.calls) == (1000 * at_once, 12)
    watched.most = 0
    data.train[0]
    assert (watched.most, watched.calls) == (1000 * at_once, 24)


def test_the_largest_image_has_room_and_gives_it_back(tmp_path):
    assert _decode.IN_FLIGHT.most >= _decode.MAX_PIXELS
    with pytest.raises(ValueError, match="damaged"):
        kertl.data.read_image(b"\x89PNG\r\n\x1a\n", (4, 4))
    whole = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(whole).save(tmp_path / "a.png")
    half = (tmp_path / "a.png").read_bytes()[:-30]
    with pytest.raises(ValueError, match="damaged"):
        kertl.data.read_image(half, (4, 4))
    assert _decode.IN_FLIGHT.taken == 0


PEAK = """
import resource, sys
import kertl.data

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

small, *large = sys.argv[1:]
kertl.data.read_image(small, (8, 8))
before = peak()
for path in large:
    kertl.data.read_image(path, (8, 8))
print((peak() - before) * 1024)
"""


def test_an_image_takes_ten_bytes_for_a_pixel_at_most(tmp_path):
    modes, side = ("RGBA", "LA", "I;16"), 1 << 11
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, mode, length in zip(paths, ("RGBA", *modes), (8, side, side, side), strict=True):
        Image.new(mode, (length, length)).save(path, compress_level=1)
    child = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, paths)],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(child.stdout) / side**2 < 11
