"""From files to batches: scanning, decoding, splitting, and datasets for `fit`.

`from_directory`, `from_csv` and `from_arrays` give an `ImageData` with a training, a validation and a test part, each
an `ImageDataset`. `images` gives one for prediction. `read_image` is the decoder behind all of them; `data_errors`
keeps their errors readable.
"""

from kertl.data._dataset import ImageDataset
from kertl.data._decode import read_image
from kertl.data._epochs import Epochs
from kertl.data._failures import data_errors
from kertl.data._image_data import ImageData, Record
from kertl.data._issues import Issue
from kertl.data._mixup import MixedBatches, mixed, mixing, one_hot
from kertl.data._sources import from_arrays, from_csv, from_directory
from kertl.data._unlabelled import images

__all__ = [
    "Epochs",
    "ImageData",
    "ImageDataset",
    "Issue",
    "MixedBatches",
    "Record",
    "data_errors",
    "from_arrays",
    "from_csv",
    "from_directory",
    "images",
    "mixed",
    "mixing",
    "one_hot",
    "read_image",
]
