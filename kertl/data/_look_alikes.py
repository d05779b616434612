"""Finding copies of an image: resized, saved with more compression, in another format.

They are only reported: photos of one subject may be as alike as two copies of one photo, so nothing is grouped or left
out because of a likeness.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 16, 18  # of the thumbnails; halved, they give the hash of 8 x 8 comparisons of neighbours
BITS = 6  # copies differ in up to 8 of the 64 bits of the hash, 99 in 100 of them in up to 6
ERROR = 0.05  # and by up to this mean difference, as a fraction of the thumbnail's standard deviation
CONTRAST = 2.0  # least standard deviation, in gray levels: flat images have no hash
_ENOUGH = 1024  # pixels on a side; of larger images only every nth pixel is used
_TURNS, _NEIGHBOURS, _AT_ONCE = 16, 24, 8192


def thumbnail(image: Image.Image) -> bytes:
    """The image in 16 x 18 pixels of gray."""
    if min(image.size) > _ENOUGH:
        scale = min(image.size) / _ENOUGH
        size = (round(image.width / scale), round(image.height / scale))
        image = image.resize(size, Image.Resampling.NEAREST)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, reducing_gap=4.0)
    return small.convert("L").tobytes()


def look_alikes(thumbnails: Sequence[bytes]) -> dict[int, int]:
    """For each image that looks like an earlier one, that earlier image.

    Images are sorted by their hashes, several times with the bits turned, and each is compared with those that come
    next to it: `n log n`, whatever the images. Among very many that are nearly alike, some may be missed.
    """
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, HEIGHT * WIDTH)
    contrast, mean = _statistics(pixels)
    rows = np.flatnonzero(contrast >= CONTRAST)
    hashes = _hashes(pixels[rows])
    found = np.full(len(pixels), -1)
    for turn in range(_TURNS):
        bits = np.uint64(64 // _TURNS * turn)
        turned = (hashes << bits) | (hashes >> (np.uint64(64) - bits)) if turn else hashes
        order = np.lexsort((mean[rows], turned))
        placed, ordered = rows[order], hashes[order]
        for step in range(1, _NEIGHBOURS + 1):
            near = np.flatnonzero(np.bitwise_count(ordered[:-step] ^ ordered[step:]) <= BITS)
            if not len(near):
                continue
            one, other = placed[near], placed[near + step]
            limit = ERROR * np.minimum(contrast[one], contrast[other])
            earlier, later = np.minimum(one, other), np.maximum(one, other)
            # The mean difference is no less than that of the means.
            left = np.flatnonzero((np.abs(mean[one] - mean[other]) <= limit) & (found[later] < 0))
            for start in range(0, len(left), _AT_ONCE):
                places = left[start : start + _AT_ONCE]
                error = np.abs(pixels[one[places]].astype(np.int16) - pixels[other[places]]).mean(axis=1)
                places = places[error <= limit[places]]
                found[later[places]] = earlier[places]
    return {int(row): int(found[row]) for row in np.flatnonzero(found >= 0)}


def _statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation and mean of each row; some rows at a time, since numpy converts them to floats."""
    portions = [pixels[start:][:_AT_ONCE] for start in range(0, len(pixels), _AT_ONCE)] or [pixels]
    return np.concatenate([p.std(axis=1) for p in portions]), np.concatenate([p.mean(axis=1) for p in portions])


def _hashes(pixels: np.ndarray) -> np.ndarray:
    """Whether each pixel of the halved thumbnails is brighter than its left neighbour, as 64 bits."""
    halved = pixels.reshape(-1, HEIGHT // 2, 2, WIDTH // 2, 2).sum(axis=(2, 4), dtype=np.uint16)
    brighter = (halved[..., 1:] > halved[..., :-1]).reshape(-1, 64)
    return np.packbits(brighter, axis=1).view(">u8").ravel().astype(np.uint64)
