import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save():
    """Writes an image of one colour, or of the pixels given, and returns its path."""

    def write(path, pixels=0, size=(8, 8), mode="RGB", **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else Image.new(mode, size, pixels)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def photos(tmp_path, save):
    """A folder of two classes with 20 different images each; image k is of the gray k * 5, for dogs plus 2."""
    for name, offset in (("cat", 0), ("dog", 2)):
        for k in range(20):
            save(tmp_path / "photos" / name / f"{k}.png", (5 * k + offset,) * 3)
    return tmp_path / "photos"
