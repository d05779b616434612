"""Pixels given as numbers, converted to the bytes that images are everywhere else."""

import logging
from typing import Any

import numpy as np

from kertl._checks import complain
from kertl.errors import DataError, KertlError

_logger = logging.getLogger(__name__)

BYTES = (0.0, 255.0)
AS_FLOATS = 'If it holds numbers, pass them as `.astype("float32")`.'
"""What to do about an array of another kind."""
_DARKEST = 2.0  # an image of fractions up to here is of 0 to 1, perhaps resized or sharpened, or all but black
_AT_ONCE = 256  # images that are converted at a time, so that no second copy of all of them is made


def check_shape(x: np.ndarray, named: str) -> None:
    """Raise if an array does not hold images.

    Raises:
        DataError: If it is not of shape `(n, height, width, channels)`, or empty.
    """
    if x.ndim != 4 or not x.size:
        raise DataError(
            f"`{named}` must be images of shape (n, height, width, channels), at least one. Received: shape {x.shape}.",
            code="image-shape",
        )


def array_of(argument: str, value: Any) -> np.ndarray:
    """`value` as an array; one with masked values is refused, since NumPy would use what is under the mask.

    Raises:
        ValueError: If values are masked, or rows are of different lengths.
    """
    several = value if isinstance(value, list | tuple) else ()  # in which NumPy would drop the masks
    if np.ma.is_masked(value) or any(isinstance(one, np.ma.MaskedArray) and np.ma.is_masked(one) for one in several):
        raise complain(argument, "an array without masked values", value)
    return np.asarray(value)


def images_of(argument: str, value: Any) -> np.ndarray:
    """The same of images, which must be of one size."""
    try:
        return array_of(argument, value)
    except KertlError:
        raise
    except ValueError as error:
        raise DataError(
            f"`{argument}` must be images of shape (n, height, width, channels). Received: images of different sizes. "
            "Resize them, or write them into files.",
            code="image-shape",
        ) from error


def array_images(x: Any, value_range: tuple[float, float] | None = None, named: str = "x") -> np.ndarray:
    """Images in an array as `uint8`, of shape `(n, height, width, channels)`; see `Levels`."""
    levels = Levels(named, value_range)
    images = levels.as_bytes(images_of(named, x))
    levels.judge()
    return images


class Levels:
    """Checks and converts the values of images that come in one or several arrays.

    Args:
        named: What the images are called in messages.
        value_range: What is black and what is white; None for numbers from 0 to 255, if they look like that.

    Raises:
        ValueError: If `value_range` is not two finite numbers, the lower one first.
    """

    def __init__(self, named: str, value_range: tuple[float, float] | None = None) -> None:
        self._named, self._given = named, value_range
        if value_range is not None and not _is_range(value_range):
            accepted = "None or two numbers, black and white, such as (0, 1), (-1, 1) or (0, 255)"
            raise complain("value_range", accepted, value_range)
        low, high = BYTES if value_range is None else value_range
        self._range = (float(low), float(high))
        self._count = 0  # of images seen
        self._floats: tuple[float, float] | None = None  # the least and the greatest of floats
        self._whole = 0.0  # the greatest of whole numbers
        self._dark: tuple[int, int, float, float] | None = None  # fractions: first image, images, least, greatest
        self._said = False

    @property
    def unknown(self) -> bool:
        """Whether nobody has said what is black and what is white."""
        return self._given is None

    def as_bytes(self, x: np.ndarray, first: int | None = None) -> np.ndarray:
        """Images as `uint8`, rounded; `judge` has to follow.

        Args:
            x: The images, of shape `(n, height, width, channels)`.
            first: The number of the first one; None to go on counting.

        Raises:
            DataError: If they are not images, or have values outside the range; the first such image is named.
        """
        check_shape(x, self._named)
        self.check(x, first)
        if x.dtype == np.uint8 and self._range == BYTES:
            return x
        images = np.empty(x.shape, np.uint8)
        for start in range(0, len(x), _AT_ONCE):
            np.rint(self.scaled(x[start : start + _AT_ONCE]), out=images[start : start + _AT_ONCE], casting="unsafe")
        return images

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Values on the scale from 0 to 255, not rounded."""
        low, high = self._range
        return x if self._range == BYTES else (x.astype(np.float64) - low) * (255 / (high - low))

    def check(self, x: np.ndarray, first: int | None = None) -> None:
        """Look at the values of images, of any number of channels.

        Raises:
            DataError: As `as_bytes`.
        """
        first = self._count if first is None else first
        self._count = first + len(x)
        if x.dtype == np.uint8 and self._range == BYTES:
            self._whole = max(self._whole, float(x.max()))
            return
        if x.dtype.kind not in "fiu":
            raise DataError(
                f"`{self._named}` must hold {self._numbers}. Received: dtype {x.dtype}. {AS_FLOATS}",
                code="image-values",
            )
        lows, highs = x.min(axis=(1, 2, 3)), x.max(axis=(1, 2, 3))
        self._refuse_outside(lows, highs, first)
        if x.dtype.kind != "f":
            self._whole = max(self._whole, float(highs.max()))
            return
        before = self._floats or (np.inf, -np.inf)
        self._floats = (min(before[0], float(lows.min())), max(before[1], float(highs.max())))
        if self._given is None:
            for row in np.flatnonzero((highs > 0) & (highs <= _DARKEST)).tolist():
                if (x[row] != np.rint(x[row])).any():
                    self._note_dark(first + row, float(lows[row]), float(highs[row]))

    def judge(self) -> None:
        """Refuse what would all be black, and say how values were understood.

        Raises:
            DataError: If floats go from 0 to 1 or not far beyond, in all images or in some.
        """
        if self._given is None and self._floats is not None:
            low, high = self._floats
            if self._dark is None and 0 < high <= 1:
                self._dark = (0, self._count, low, high)
            if self._dark is not None:
                first, images, low, high = self._dark
                raise DataError(
                    f"`{self._named}` must hold {self._numbers}. Received: floats from {low:g} to {high:g} in "
                    f"{images} of {self._count} images, image {first} first. Multiply them by 255, or pass "
                    "value_range=(0, 1); if they are nearly black, pass value_range=(0, 255).",
                    code="image-values",
                )
        if self._said:
            return
        self._said = True
        if self._floats is not None:
            taken = "taken as numbers" if self._given is None else "numbers, as `value_range` says,"
            _logger.info(
                "The images of `%s` are floats from %g to %g; they are %s from %g to %g, and rounded to bytes.",
                self._named,
                *self._floats,
                taken,
                *self._range,
            )
        elif self._whole == 1 and self._given is None:
            _logger.warning(
                "The images of `%s` have no value above 1, which is nearly black. If 1 is white, pass "
                "value_range=(0, 1).",
                self._named,
            )

    @property
    def _numbers(self) -> str:
        return "numbers from {:g} to {:g}".format(*self._range)

    def _refuse_outside(self, lows: np.ndarray, highs: np.ndarray, first: int) -> None:
        inside = (lows >= self._range[0]) & (highs <= self._range[1])
        if inside.all():
            return
        row = int(np.flatnonzero(~inside)[0])
        low, high = float(lows[row]), float(highs[row])
        if np.isnan(low) or np.isnan(high):
            received, advice = f"NaN in image {first + row}", ""
        else:
            least, most = float(np.nanmin(lows)), float(np.nanmax(highs))
            received = f"values from {least:g} to {most:g}, {low:g} to {high:g} in image {first + row}"
            advice = self._advice(least, most)
        raise DataError(
            f"`{self._named}` must hold {self._numbers}. Received: {received}. {advice}".rstrip(), code="image-values"
        )

    def _advice(self, least: float, most: float) -> str:
        if self._given is not None:
            return "If they may be cut off, pass np.clip({}, {:g}, {:g}).".format("x", *self._range)
        signed = -_DARKEST <= least < 0 < most <= _DARKEST
        return "If they go from -1 to 1, pass value_range=(-1, 1)." if signed else "Pass their `value_range`."

    def _note_dark(self, image: int, low: float, high: float) -> None:
        first, images, least, most = self._dark or (image, 0, low, high)
        self._dark = (first, images + 1, min(least, low), max(most, high))


def _is_range(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    numbers = pair and all(isinstance(each, int | float) and not isinstance(each, bool) for each in value)
    return bool(numbers and max(map(abs, value)) <= float(np.finfo(np.float32).max) and value[0] < value[1])
