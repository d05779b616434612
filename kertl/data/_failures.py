"""Errors in the data as the data raised them, whatever the backend turned them into."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kertl.data._dataset import ImageDataset
    from kertl.data._streamed import FileBatches


@contextlib.contextmanager
def data_errors(*datasets: "ImageDataset | FileBatches | None") -> Iterator[None]:
    """Raise a `DataError` of these datasets as it was raised.

    Inside a plain `model.fit`, TensorFlow turns the error of a dataset into an `InvalidArgumentError` whose message is
    a page of stack traces with the name of the file somewhere on it.

    Args:
        *datasets: The datasets that are read inside; None is ignored.

    Raises:
        DataError: If a file of a dataset has vanished or changed since the dataset was made; the message names it.

    Example:
        >>> import keras, kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "black.png"
        >>> Image.new("L", (8, 8)).save(path)
        >>> dataset = kertl.data.images(path, image_size=(4, 4))
        >>> path.unlink()
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
        >>> with kertl.data.data_errors(dataset):
        ...     model.predict(dataset, verbose=0)
        Traceback (most recent call last):
        kertl.errors.DataError: The image '...black.png' cannot be opened: No such file or directory; ...
    """
    for dataset in datasets:
        if dataset is not None:
            dataset.failure = None
    try:
        yield
    except Exception as error:
        for dataset in datasets:
            # A batch that was read ahead may have failed too, without being the cause of this.
            if dataset is not None and dataset.failure is not None and str(dataset.failure) in str(error):
                raise dataset.failure from None
        raise
