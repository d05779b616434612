"""The images on the page of a run."""

from typing import Any

import numpy as np

from kertl.data import ImageData
from kertl.report._story import Story
from kertl.report._thumbnails import thumbnail


def pictures(story: Story) -> dict[str, Any]:
    """The images that are shown, with what there is to say of them."""
    found, data = story.interpretation, story.data
    if found is None or data is None:
        return {"losses": (), "losses_caption": "", "doubtful": (), "alike": ()}
    shown = _Shown(data)
    maps = [None] * len(found.top_losses) if found.maps is None else list(found.maps)
    losses = [
        {
            **vars(one),
            "file": shown.name(one.file),
            "nearest": [shown.name(line) for line in one.nearest],
            "picture": shown.picture(one.file),
            "places": None if places is None else shown.picture(one.file, places),
        }
        for one, places in zip(found.top_losses, maps, strict=True)
    ]
    told = "Images of the {} set, the greatest loss first.{}".format(
        found.part, "" if found.maps is None else f" Warm colours mark the {found.maps_show}."
    )
    doubtful = [
        {**vars(one), "file": shown.name(one.file), "picture": shown.picture(one.file)}
        for one in found.doubtful_labels or ()
    ]
    alike = [
        {
            "files": [shown.name(one.file), shown.name(one.training_file)],
            "pictures": [shown.picture(one.file), shown.picture(one.training_file)],
            "similarity": one.similarity,
            "same_label": one.same_label,
        }
        for one in found.alike[: len(found.top_losses)]
    ]
    return {
        "losses": losses,
        "losses_caption": told,
        "maps_show": found.maps_show,
        "doubtful": doubtful,
        "alike": alike,
    }


class _Shown:
    """The images of a data set by file."""

    def __init__(self, data: ImageData) -> None:
        parts = [one.in_order() for one in (data.train, data.validation, data.test) if one is not None]
        self._places = {file: (part, row) for part in parts for row, file in enumerate(part.files)}
        first = next(record.file for record in data.records if record.split == "train")
        self._before = 0 if data.root is None else len(data.train.files[0]) - len(first)

    def picture(self, file: str, places: np.ndarray | None = None) -> str:
        part, row = self._places[file]
        return thumbnail(part.reader.take(np.array([row]))[0], places)

    def name(self, file: str) -> str:
        """The file as the data set calls it."""
        return file[self._before :]
