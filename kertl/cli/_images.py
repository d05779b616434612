"""How a command reads its images: the same options in every command that takes a data set."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kertl._places import is_address
from kertl.cli import _options as options

if TYPE_CHECKING:
    from kertl.data import ImageData

_TABLES = (".csv", ".tsv", ".txt")  # how the address of a table ends

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Where labels stand, and how files are checked."""

    batch_size: options.BatchSize = 32
    image_column: options.ImageColumn = "file"
    label_column: options.LabelColumn = None
    separator: options.Separator = None
    split_column: options.SplitColumn = None
    root: options.Root = None
    check_again: options.CheckAgain = False

    def read(self, path: str, image_size: tuple[int, int], **common: Any) -> "ImageData":
        """The images in a folder or listed in a CSV table; `common` are arguments of both sources in `kertl.data`."""
        from kertl import data

        common = {"batch_size": self.batch_size, "check_again": self.check_again, "image_size": image_size, **common}
        if not path.lower().endswith(_TABLES) if is_address(path) else Path(path).is_dir():
            common.pop("stratify_columns", None)
            common.pop("group_column", None)
            found = data.from_directory(path, **common)
        else:
            columns = self.label_column or ["label"]
            found = data.from_csv(
                path,
                image_column=self.image_column,
                label_column=columns[0] if len(columns) == 1 else columns,
                separator=self.separator,
                split_column=self.split_column,
                root=self.root,
                **common,
            )
        for issue in found.issues:
            _logger.debug("%s", issue)  # for --verbose; summaries show the first ones
        return found


@dataclass(frozen=True, kw_only=True)
class DataOptions(TableOptions):
    """How images become data to train with: also their task, form and split."""

    task: options.Task = "single_label"
    resize: options.Resize = "stretch"
    class_name: options.ClassName = None
    validation: options.Validation = 0.15
    test: options.Test = 0.15
    stratify_column: options.StratifyColumn = None
    group_column: options.GroupColumn = None

    def to_train(self, path: str, shape: tuple[int, int, int], seed: int) -> "ImageData":
        """The images in a folder or listed in a CSV table, as (height, width, channels), split by the seed."""
        return self.read(
            path,
            shape[:2],
            channels=shape[2],
            seed=seed,
            task=self.task,
            resize=self.resize,
            class_names=self.class_name,
            validation=self.validation,
            test=self.test,
            stratify_columns=tuple(self.stratify_column or ()),
            group_column=self.group_column,
        )
