"""Which image goes to training, validation and test.

The same files and seed give the same split on every machine, whatever the order in which the file system lists them;
identical files and members of a group are never on both sides.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from kertl.data._spelling import near_twin
from kertl.errors import DataError

PARTS = ("train", "validation", "test")
FOR_NUMBERS = "If they are amounts to be estimated, pass task='regression', `--task regression` on the command line."
"""What to do where the classes are numbers."""


def assign(
    labels: Sequence[str],
    bundles: Sequence[int],
    given: Sequence[str],
    strata: Sequence[tuple[str, ...]],
    fractions: Mapping[str, float],
    seed: int,
) -> list[str]:
    """The part of each image.

    Bundles (see `bundle`) are assigned one after the other, the largest first and equal ones stratum by stratum, each
    to the part whose share of the bundle's classes is least filled. Each part thus gets its fraction of every class, up
    to rounding, and of every stratum; strata too small for that are assigned along with their class.

    Args:
        labels: Class of each image.
        bundles: Number of the bundle each image belongs to.
        given: Part of each image where it is given, else an empty string.
        strata: Further values to stratify by, for each image.
        fractions: Fraction of each part, summing to 1.
        seed: Seed of the order in which equal bundles are assigned.

    Raises:
        DataError: If a class has no image for `train`, or for another part that was to be drawn.
    """
    parts = list(given)
    free = _free(bundles, parts)
    _deal(free, labels, strata, fractions, seed, parts)
    _refuse_missing(labels, parts, [part for part in PARTS if fractions[part] > 0] if free else ["train"])
    return parts


def assign_many(
    labels: Sequence[Collection[str]],
    bundles: Sequence[int],
    given: Sequence[str],
    strata: Sequence[tuple[str, ...]],
    fractions: Mapping[str, float],
    seed: int,
) -> list[str]:
    """The part of each image where an image has any number of labels, by `stratified`.

    Args:
        labels: Labels of each image, none or several.
        bundles: Number of the bundle each image belongs to.
        given: Part of each image where it is given, else an empty string.
        strata: Further values to stratify by, for each image.
        fractions: Fraction of each part, summing to 1.
        seed: Seed of the order in which equal bundles are assigned.

    Raises:
        DataError: If no image of a label, or none at all, is left for `train`, or for another part that was to be
            drawn.
    """
    parts = list(given)
    free = _free(bundles, parts)
    asked = [part for part in PARTS if fractions[part] > 0]
    places = stratified(labels, strata, free, [fractions[part] for part in asked], seed)
    for rows, place in zip(free, places, strict=True):
        for row in rows:
            parts[row] = asked[place]
    needed = asked if free else ["train"]
    _refuse_empty(parts, needed)
    _refuse_missing(
        [name for names in labels for name in names],
        [part for part, names in zip(parts, labels, strict=True) for _ in names],
        needed,
    )
    return parts


def stratified(
    labels: Sequence[Collection[str]],
    strata: Sequence[tuple[str, ...]],
    bundles: Sequence[Sequence[int]],
    shares: Sequence[float],
    seed: int,
) -> list[int]:
    """The place of each bundle, by iterative stratification.

    The label with the fewest images left is assigned first: each bundle that has it, the largest first, goes to the
    place that needs most images of that label, among equals to the one that needs most images. Values of strata count
    as labels, except for those with fewer images than there are places. Unlike in the paper, each place needs at least
    one image, and one of each label (not of a stratum), as long as the place that needs most can spare it; and at the
    end bundles move from places with too many images to those with too few, where bundles are small enough for that.

    Args:
        labels: Labels of each image, none or several.
        strata: Further values to stratify by, for each image.
        bundles: The images that stay together, as positions in `labels`; others are left out.
        shares: The share of the images of each place, summing to 1.
        seed: Seed of the order in which equal bundles are assigned.

    Example:
        >>> stratified([["a"], ["a"], ["b"], ["b"]], [()] * 4, [[0], [1], [2], [3]], [0.5, 0.5], seed=0)
        [0, 1, 0, 1]

    Reference:
        Sechidis, Tsoumakas & Vlahavas, "On the Stratification of Multi-Label Data", 2011, algorithm 1.
    """
    shuffle = np.random.default_rng(seed).permutation(len(bundles)).tolist()
    keys = [[*((0, name) for name in names), *enumerate(more, 1)] for names, more in zip(labels, strata, strict=True)]
    held = [Counter(key for row in bundles[k] for key in keys[row]) for k in shuffle]
    remaining = Counter(key for counts in held for key in counts.elements())
    for key in [key for key, size in remaining.items() if key[0] and size < len(shares)]:
        del remaining[key]
    lacking = {key: _wanted(size, shares, fewest=0 if key[0] else 1) for key, size in remaining.items()}
    room = _wanted(sum(map(len, bundles)), shares, fewest=1)
    holders = defaultdict(list)
    for number, counts in enumerate(held):
        for key in counts.keys() & remaining.keys():
            holders[key].append(number)
    places: dict[int, int] = {}

    def deal(number: int, wanted: Sequence[float]) -> None:
        # Rounded, so that sums of fractions that should be equal are.
        chosen = max(range(len(shares)), key=lambda k: (round(wanted[k], 6), round(room[k], 6)))
        places[shuffle[number]] = chosen
        room[chosen] -= len(bundles[shuffle[number]])
        for key in held[number].keys() & remaining.keys():
            remaining[key] -= held[number][key]
            lacking[key][chosen] -= held[number][key]

    while rarest := min(((size, key) for key, size in remaining.items() if size), default=None):
        key = rarest[1]
        for number in sorted((k for k in holders[key] if shuffle[k] not in places), key=lambda k: (-held[k][key], k)):
            deal(number, lacking[key])
    for number in sorted(range(len(shuffle)), key=lambda k: (-len(bundles[shuffle[k]]), k)):
        if shuffle[number] not in places:
            deal(number, room)
    found = [places[k] for k in shuffle]
    _level(found, [len(bundles[k]) for k in shuffle], held, lacking, room)
    return [place for _, place in sorted(zip(shuffle, found, strict=True))]


def _level(
    places: list[int],
    sizes: Sequence[int],
    held: Sequence[Counter[tuple[int, str]]],
    lacking: Mapping[Any, list[float]],
    room: list[float],
) -> None:
    """Move bundles from places with too many images to places with too few, until each is within one of its share.

    Labels are assigned one after the other, which in sum can fill one place more than another. Of the bundles of the
    fullest place the one is moved that leaves the labels nearest to what each place wants; never the last image of a
    label that a place needs one of.

    Args:
        places: The place of each bundle, which is changed.
        sizes: Number of images of each bundle.
        held: How many images with each label a bundle has.
        lacking: How many images of each label each place lacks, below zero where it has too many.
        room: The same for images; changed.
    """
    columns = {key: column for column, key in enumerate(lacking)}
    # Which bundle holds which label how often; a table of all labels would be large.
    entries = [(k, columns[key], n) for k, counts in enumerate(held) for key, n in counts.items() if key in columns]
    bundles, labels, counts = np.array(entries, np.int64).reshape(-1, 3).T
    needed = np.array([not key[0] for key in columns], bool)[labels]
    short = np.array(list(lacking.values())).reshape(-1, len(room))
    where, size = np.array(places, np.int64), np.array(sizes, np.int64)
    present = np.zeros(short.shape, np.int64)
    np.add.at(present, (labels, where[bundles]), counts)
    while True:
        source, target = (choose(range(len(room)), key=lambda k: round(room[k], 6)) for choose in (min, max))
        if max(-room[source], room[target]) < 1 - 1e-6:
            return
        # How much further, squared, a move takes both places from what they want; infinite for the last of a label.
        further = 2 * counts * (short[labels, source] - short[labels, target] + counts)
        further[needed & (counts == present[labels, source])] = math.inf
        costs = np.bincount(bundles, further, len(size)).astype(float).round(6)  # without any label: whole numbers
        costs[(where != source) | (size >= room[target] - room[source] - 1e-6)] = math.inf
        chosen = int(costs.argmin())
        if costs[chosen] == math.inf:
            return
        places[chosen] = where[chosen] = target
        moved = bundles == chosen
        for place, sign in ((source, 1), (target, -1)):
            room[place] += sign * sizes[chosen]
            present[labels[moved], place] -= sign * counts[moved]
            short[labels[moved], place] += sign * counts[moved]


def _free(bundles: Sequence[int], parts: list[str]) -> list[list[int]]:
    """The bundles without any image that has a part yet; in other bundles the rest joins the images that have one."""
    members = defaultdict(list)
    for row, number in enumerate(bundles):
        members[number].append(row)
    free = []
    for rows in members.values():
        prescribed = [part for part in PARTS if any(parts[row] == part for row in rows)]
        if prescribed:
            for row in rows:
                parts[row] = parts[row] or prescribed[0]
        else:
            free.append(rows)
    return free


def _deal(
    free: list[list[int]],
    labels: Sequence[str],
    strata: Sequence[tuple[str, ...]],
    fractions: Mapping[str, float],
    seed: int,
    parts: list[str],
) -> None:
    shuffled = [free[k] for k in np.random.default_rng(seed).permutation(len(free))]
    shuffled.sort(key=lambda rows: (-len(rows), labels[rows[0]], strata[rows[0]]))
    asked = [part for part in PARTS if fractions[part] > 0]
    sizes = Counter(labels[row] for rows in free for row in rows)
    targets = {label: _whole(size, [fractions[part] for part in asked]) for label, size in sizes.items()}
    left = {label: list(counts) for label, counts in targets.items()}
    for rows in shuffled:
        unfilled = [
            sum(left[labels[row]][k] / targets[labels[row]][k] if targets[labels[row]][k] else -1.0 for row in rows)
            for k in range(len(asked))
        ]
        chosen = unfilled.index(max(unfilled))
        for row in rows:
            parts[row] = asked[chosen]
            left[labels[row]][chosen] -= 1


def _whole(size: int, fractions: Sequence[float]) -> list[int]:
    """`size` divided by largest remainder, then each at least 1 as long as the largest can spare it."""
    exact = [size * fraction for fraction in fractions]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: size - sum(counts)]:
        counts[k] += 1
    for k, count in enumerate(counts):
        largest = counts.index(max(counts))
        if count == 0 and counts[largest] > 1:
            counts[k] += 1
            counts[largest] -= 1
    return counts


def _wanted(size: int, shares: Sequence[float], fewest: int) -> list[float]:
    """`size` divided by shares, then each at least `fewest` as long as the largest can spare it."""
    wanted = [size * share for share in shares]
    for k, want in enumerate(wanted):
        largest = wanted.index(max(wanted))
        if want < fewest and wanted[largest] - (fewest - want) >= fewest - 1e-6:
            wanted[largest] -= fewest - want
            wanted[k] = float(fewest)
    return wanted


def _refuse_missing(labels: Sequence[str], parts: Sequence[str], asked: Sequence[str]) -> None:
    found = set(zip(labels, parts, strict=True))
    for label, size in sorted(Counter(labels).items()):
        missing = [part for part in asked if (label, part) not in found]
        if missing:
            here = {part for other, part in found if other == label}
            twin = near_twin(label, {other for other, _ in found} - {other for other, part in found if part in here})
            numbers = f"{FOR_NUMBERS} " if len(found) > 2 and all(is_number(other) for other, _ in found) else ""
            raise DataError(
                f"Class {label!r} needs an image in each of {', '.join(asked)}, and of its {size} none is left for "
                f"{' and '.join(missing)}. {twin}{' ' if twin else ''}{numbers}Equal images and those of one group "
                f"stay together. Add images of the class, remove it, or set `validation` or `test` to 0.",
                code="split",
            )


def is_number(label: str) -> bool:
    """Whether the name of a class is a number."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _refuse_empty(parts: Sequence[str], asked: Sequence[str]) -> None:
    missing = [part for part in asked if part not in parts]
    if missing:
        raise DataError(
            f"Each of {', '.join(asked)} needs an image, and of {len(parts)} none is left for "
            f"{' and '.join(missing)}. Equal images and those of one group stay together. "
            f"Add images, or set `validation` or `test` to 0.",
            code="split",
        )


def bundle(*keys: Sequence[str]) -> list[int]:
    """Number the images so that two get the same number if they share a value, directly or through others.

    Args:
        keys: For each criterion one value per image; an empty string shares nothing.

    Example:
        >>> bundle(["a", "b", "c"], ["", "x", "x"])
        [0, 1, 1]
    """
    parents = list(range(len(keys[0])))

    def first(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    for values in keys:
        known: dict[str, int] = {}
        for row, value in enumerate(values):
            if value:
                a, b = sorted((first(row), first(known.setdefault(value, row))))
                parents[b] = a
    return [first(row) for row in range(len(parents))]
