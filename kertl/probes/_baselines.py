"""`baselines`: how well classical classifiers do on frozen features, by depth."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from rich import box
from rich.table import Table

from kertl._checks import LARGEST_SEED, check_cache_dir, integer
from kertl.backbones import refuse_nan
from kertl.data import ImageData, check_image_data
from kertl.errors import ArgumentError
from kertl.probes._classifiers import PROBES, Standardiser, classes_of
from kertl.probes._depths import Depth, Depths
from kertl.probes._picture import draw
from kertl.results import Result, table_text

_logger = logging.getLogger(__name__)

# The most training images that classifiers are fitted to, so that they take seconds.
MOST_IMAGES = 20_000


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A classical classifier at a boundary, or at several joined."""

    boundary: str
    """Name of the layer group after which the features are taken; several names are joined by " + "."""
    at: str
    """The `at` of a stage that trains what comes after the (deepest) boundary."""
    features: int
    """Numbers per image."""
    method: str
    """"nearest mean", "nearest neighbours", "ridge" or "logistic regression"."""
    setting: str
    """The best setting of the method on the validation set."""
    validation_accuracy: float
    """Share of correct predictions on the validation set."""
    seconds: float
    """Seconds for fitting and trying all settings, without the extraction."""


@dataclasses.dataclass(frozen=True, repr=False)
class Baselines(Result):
    """What `baselines` found.

    Attributes:
        rows: The classifiers, from the input to the end, then those of joined boundaries.
        best: The row with the highest validation accuracy; among equals the one with fewer features, then the simpler
            one.
        test_accuracy: Test accuracy of `best` alone, fitted to the training set; None without a test set.
        majority: Share of the validation set that the largest class of the training set has.
        images: Number of images in each part.
        extraction_seconds: Seconds for the passes through the backbone.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("standard_error",)

    rows: tuple[Baseline, ...]
    best: Baseline
    test_accuracy: float | None
    majority: float
    images: dict[str, int]
    extraction_seconds: float

    @property
    def standard_error(self) -> float:
        """Standard error of the best validation accuracy: differences below about twice as much mean little.

        Two correct and two wrong predictions are added, so that it is never 0 (Agresti & Coull, 1998).
        """
        count = self.images["validation"]
        share = (self.best.validation_accuracy * count + 2) / (count + 4)
        return math.sqrt(share * (1 - share) / (count + 4))

    def by_depth(self) -> dict[str, float]:
        """For each single boundary, by its `at`, the best validation accuracy of all methods; "deep" is the last."""
        best: dict[str, float] = {}
        for row in self.rows:
            if " + " not in row.boundary:
                best[row.at] = max(best.get(row.at, 0.0), row.validation_accuracy)
        return best

    def table(self) -> str:
        """The accuracies as text: a line for each boundary, a column for each method."""
        methods = list(dict.fromkeys(row.method for row in self.rows))
        table = Table(box=box.SIMPLE)
        table.add_column("features after")
        for heading in ("numbers", *methods):
            table.add_column(heading, justify="right")
        for name in dict.fromkeys(row.boundary for row in self.rows):
            here = {row.method: row for row in self.rows if row.boundary == name}
            cells = [_cell(here[method], here[method] == self.best) for method in methods]
            table.add_row(name, str(here[methods[0]].features), *cells)
        return table_text(table) + "\n".join(self._sentences())

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the validation accuracies by depth.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw(self.rows, self.majority, self.images["validation"], path)

    def _sentences(self) -> list[str]:
        best, count = self.best, self.images["validation"]
        test = "" if self.test_accuracy is None else f", {self.test_accuracy:.4f} of {self.images['test']} in test"
        setting = f" ({best.setting})" if best.setting else ""
        return [
            f"Accuracy on {count} validation images; the largest class alone gives {self.majority:.4f}.",
            f"* Best: {best.method}{setting} after {best.boundary}, standard error {self.standard_error:.4f}{test}.",
            "This is what fine-tuning has to beat.",
            f"Extraction {self.extraction_seconds:.1f} s, classifiers {sum(row.seconds for row in self.rows):.1f} s.",
        ]


def baselines(
    model: keras.Model,
    data: ImageData,
    *,
    boundaries: Sequence[str] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Baselines:
    """Classical classifiers on frozen features at each depth of a backbone, before any gradient descent.

    The images go through the backbone once. At each boundary, and at the last two and the last three joined, features
    are averaged over the picture and standardised; nearest class mean, nearest neighbours, ridge regression and
    logistic regression are fitted to the training set, and each takes the setting that is best on the validation set.
    The accuracies show which depth suits the task, and what fine-tuning has to beat. The test set is used once, for the
    best of all.

    Args:
        model: A backbone, or a classifier, whose head is left out.
        data: Images with one class each, in a training and a validation set.
        boundaries: Names of layer groups at whose ends to look, see `kertl.layer_groups`, or "deep" and "mid" for the
            features that stages there begin with; by default the groups where a main boundary ends.
        seed: Seed that chooses training images if there are more than 20,000; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        ValueError: If there is no such boundary, no validation set, or images do not have one class each.
        WeightsError: If a weight of the model is NaN or infinite.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> found = kertl.baselines(kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3)), data)
        >>> list(found.by_depth())
        ['block_1', 'block_3', 'block_6', 'block_10', 'block_16', 'deep']

    Reference:
        Kornblith, Shlens & Le, "Do Better ImageNet Models Transfer Better?", 2019, for logistic regression on frozen
        features. https://arxiv.org/abs/1805.08974
        Alain & Bengio, "Understanding intermediate layers using linear classifier probes", 2016, for the depths.
        https://arxiv.org/abs/1610.01644
    """
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_cache_dir(cache_dir)
    check_image_data(data)
    refuse_nan(model)
    if data.validation is None:
        raise ArgumentError(
            "`data` must have a validation set, by which settings are chosen. Received: data.validation=None. "
            "Make it with `validation=0.15`."
        )
    parts = {name: part for name in ("train", "validation", "test") if (part := getattr(data, name)) is not None}
    labels = {name: classes_of(part) for name, part in parts.items()}
    depths = Depths(model, boundaries)
    start = time.perf_counter()
    vectors = {name: depths.vectors(part, cache_dir) for name, part in parts.items()}
    extraction_seconds = time.perf_counter() - start
    _draw_lots(vectors, labels, seed)
    rows: list[Baseline] = []
    tests: list[Callable[[], float]] = []
    for depth in _with_joined(depths.depths):
        _Trial(depth, vectors, labels, data.num_classes).run(rows, tests)
    best = min(range(len(rows)), key=lambda place: (-rows[place].validation_accuracy, rows[place].features, place))
    largest = np.bincount(labels["train"]).argmax()
    return Baselines(
        rows=tuple(rows),
        best=rows[best],
        test_accuracy=tests[best]() if "test" in parts else None,
        majority=float(np.mean(labels["validation"] == largest)),
        images={name: part.num_examples for name, part in parts.items()},
        extraction_seconds=extraction_seconds,
    )


class _Trial:
    """All probes at one depth."""

    def __init__(
        self, depths: Sequence[Depth], vectors: dict[str, np.ndarray], labels: dict[str, np.ndarray], classes: int
    ) -> None:
        self._depths = depths
        self._labels = labels
        self._classes = classes
        columns = list(chain.from_iterable(range(depth.columns.start, depth.columns.stop) for depth in depths))
        standardise = Standardiser(vectors["train"][:, columns])
        self._vectors = {name: standardise(rows[:, columns]) for name, rows in vectors.items()}

    def run(self, rows: list[Baseline], tests: list[Callable[[], float]]) -> None:
        """Add a row for each method, and what predicts on the test set."""
        for method in PROBES:
            start = time.perf_counter()
            scores = self._accuracies(method, "validation")
            setting = max(scores, key=lambda name: scores[name])
            seconds = time.perf_counter() - start
            rows.append(
                Baseline(
                    boundary=" + ".join(depth.boundary for depth in self._depths),
                    at=self._depths[-1].at,
                    features=self._vectors["train"].shape[1],
                    method=method,
                    setting=setting,
                    validation_accuracy=scores[setting],
                    seconds=seconds,
                )
            )
            tests.append(partial(self._test_accuracy, method, setting))
            _logger.debug("%s", rows[-1])

    def _test_accuracy(self, method: str, setting: str) -> float:
        return self._accuracies(method, "test")[setting]

    def _accuracies(self, method: str, part: str) -> dict[str, float]:
        """The accuracy by setting."""
        train, asked = self._vectors["train"], self._vectors[part]
        answers = PROBES[method](train, self._labels["train"], asked, self._classes)
        return {setting: float(np.mean(answer == self._labels[part])) for setting, answer in answers}


def _with_joined(depths: Sequence[Depth]) -> list[Sequence[Depth]]:
    """Each depth alone, then the last two and the last three joined."""
    return [[depth] for depth in depths] + [depths[-count:] for count in (2, 3) if count <= len(depths)]


def _draw_lots(vectors: dict[str, np.ndarray], labels: dict[str, np.ndarray], seed: int) -> None:
    """Keep few enough training images that fitting takes seconds."""
    count = len(labels["train"])
    if count > MOST_IMAGES:
        _logger.info("Classifiers are fitted to %d of the %d training images.", MOST_IMAGES, count)
        chosen = np.sort(np.random.default_rng(seed).permutation(count)[:MOST_IMAGES])
        vectors["train"], labels["train"] = vectors["train"][chosen], labels["train"][chosen]


def _cell(row: Any, best: bool) -> str:
    return f"{'* ' if best else ''}{row.validation_accuracy:.4f}"
