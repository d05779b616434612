"""Several parts of one data set as one dataset."""

from collections.abc import Sequence

import numpy as np

from kertl.data._dataset import ImageDataset
from kertl.data._readers import joined_reader
from kertl.errors import ArgumentError, DataError


def joined(parts: Sequence[ImageDataset]) -> ImageDataset:
    """The examples of several parts of one data set, one part after the other.

    `subset` divides them into folds. No image is read or copied; a cache in memory is shared. The result is not
    shuffled; batch size and seed are those of the first part.

    Args:
        parts: At least one; all of the same classes, task, image size and channels.

    Raises:
        DataError: If the parts do not belong together.
        ValueError: If there is no part.

    Example:
        >>> import kertl, numpy as np
        >>> x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
        >>> data = kertl.data.from_arrays(x, [0, 1] * 10)
        >>> both = kertl.data.joined([data.train, data.validation])
        >>> data.train.num_examples, data.validation.num_examples, both.num_examples
        (14, 4, 18)
    """
    if not parts:
        raise ArgumentError("`parts` must have at least one dataset. Received: parts=[].", code="labels")
    first, *others = parts
    for number, other in enumerate(others, 1):
        for name in ("class_names", "task", "image_size", "channels"):
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise DataError(
                    f"The `{name}` of all parts must be the same. Received: {ours!r} and, in parts[{number}], "
                    f"{theirs!r}. Join parts of one data set.",
                    code="labels",
                )
    labels = [part.labels for part in parts if part.labels is not None]
    if labels and len(labels) < len(parts):
        raise DataError("Either all parts must have labels or none. Received: parts of both kinds.", code="labels")
    digests = [part.digests for part in parts if part.digests is not None]
    return ImageDataset(
        joined_reader([part.reader for part in parts], [part.num_examples for part in parts]),
        np.concatenate(labels) if labels else None,
        [file for part in parts for file in part.files],
        class_names=first.class_names,
        task=first.task,
        batch_size=first.batch_size,
        seed=first.seed,
        issues=[issue for part in parts for issue in part.issues],
        digests=[digest for one in digests for digest in one] if len(digests) == len(parts) else None,
    )
