"""Which image goes to training, validation and test.

The same files and seed give the same split on every machine, whatever order the file system lists them in; identical
files and members of a group are never on two sides.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from kertl.errors import DataError

PARTS = ("train", "validation", "test")


def assign(
    labels: Sequence[str],
    bundles: Sequence[int],
    given: Sequence[str],
    strata: Sequence[tuple[str, ...]],
    fractions: Mapping[str, float],
    seed: int,
) -> list[str]:
    """The part of each image.

    Bundles (see `bundle`) are dealt one after the other, the largest first and equal ones stratum by stratum, each to
    the part whose share of the bundle's classes is least filled. Of every class each part so gets its fraction, to
    within a rounding, and so does every run of a stratum; strata too small for that are dealt along with their class.

    Args:
        labels: Class of each image.
        bundles: Number of the bundle each image belongs to.
        given: Part of each image where it is prescribed, else an empty string.
        strata: Further values that should be spread alike, for each image.
        fractions: Fraction of each part, summing to 1.
        seed: Seed of the order in which equal bundles are dealt.

    Raises:
        DataError: If a class has no image for `train`, or for another part that was to be drawn.
    """
    parts = list(given)
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
    _deal(free, labels, strata, fractions, seed, parts)
    _refuse_missing(labels, parts, [part for part in PARTS if fractions[part] > 0] if free else ["train"])
    return parts


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


def _refuse_missing(labels: Sequence[str], parts: Sequence[str], asked: Sequence[str]) -> None:
    found = set(zip(labels, parts, strict=True))
    for label, size in sorted(Counter(labels).items()):
        missing = [part for part in asked if (label, part) not in found]
        if missing:
            raise DataError(
                f"Class {label!r} needs an image in each of {', '.join(asked)}, and of its {size} none is left for "
                f"{' and '.join(missing)}. Equal images and those of one group stay together. "
                f"Add images of the class, remove it, or set `validation` or `test` to 0."
            )


def bundle(*keys: Sequence[str]) -> list[int]:
    """Numbers the images so that two get the same number if they share a value, directly or through others.

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
