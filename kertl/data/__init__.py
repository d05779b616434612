"""From files to batches: scanning, decoding, splitting, and datasets for `fit`.

`from_directory`, `from_csv`, `from_arrays` and `from_dataset` (for what is in batches already) give an `ImageData` with
a training, a validation and a test set, each an `ImageDataset`. `images` gives one for prediction. `read_image` is the
decoder that all of them use; `data_errors` keeps their errors readable. `check_augmentation` reports what varying
images does to predictions, and `preview_augmentation` draws it.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.data._augmentation_check import check_augmentation
    from kertl.data._augmentation_preview import preview_augmentation
    from kertl.data._dataset import ImageDataset
    from kertl.data._decode import RESIZE, read_image
    from kertl.data._effects import AugmentationCheck, Effect
    from kertl.data._epochs import Epochs
    from kertl.data._failures import data_errors
    from kertl.data._image_data import ImageData, Record, check_image_data
    from kertl.data._imbalance import balanced_weights, effective_weights
    from kertl.data._issues import Issue
    from kertl.data._joined import joined
    from kertl.data._mixing import MixedBatches, label_shares, mixed, mixing, one_hot
    from kertl.data._own_data import from_dataset
    from kertl.data._sources import from_arrays, from_csv, from_directory
    from kertl.data._split import stratified
    from kertl.data._unlabelled import images

__all__ = [
    "RESIZE",
    "AugmentationCheck",
    "Effect",
    "Epochs",
    "ImageData",
    "ImageDataset",
    "Issue",
    "MixedBatches",
    "Record",
    "balanced_weights",
    "check_augmentation",
    "check_image_data",
    "data_errors",
    "effective_weights",
    "from_arrays",
    "from_csv",
    "from_dataset",
    "from_directory",
    "images",
    "joined",
    "label_shares",
    "mixed",
    "mixing",
    "one_hot",
    "preview_augmentation",
    "read_image",
    "stratified",
]

# The names that each module defines.
_HOMES = {
    "._augmentation_check": ("check_augmentation",),
    "._augmentation_preview": ("preview_augmentation",),
    "._dataset": ("ImageDataset",),
    "._decode": ("RESIZE", "read_image"),
    "._effects": ("AugmentationCheck", "Effect"),
    "._epochs": ("Epochs",),
    "._failures": ("data_errors",),
    "._image_data": ("ImageData", "Record", "check_image_data"),
    "._imbalance": ("balanced_weights", "effective_weights"),
    "._issues": ("Issue",),
    "._joined": ("joined",),
    "._mixing": ("MixedBatches", "label_shares", "mixed", "mixing", "one_hot"),
    "._own_data": ("from_dataset",),
    "._sources": ("from_arrays", "from_csv", "from_directory"),
    "._split": ("stratified",),
    "._unlabelled": ("images",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES, ("augment",))
