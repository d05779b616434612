"""`kertl predict --out`: predictions in a file, as a share of them, or by a Ray cluster."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kertl.cli._foreign import Told
from kertl.errors import ArgumentError


def checked(out: Path | None, shard: str | None, ray: str | None, *, join: bool) -> tuple[int, int] | None:
    """The share of `--shard 3/16` as numbers, if these options go together and can be had; before anything is loaded.

    Raises:
        ArgumentError: If they do not go together, or `--out` is of another kind.
        KertlError: If a package for them is missing, or no Ray cluster is at the address.
    """
    share = _share(shard, out, join=join)
    if ray is not None and (out is None or shard is not None or join):
        raise ArgumentError(
            "`--ray` needs `--out`, the file to write to, and neither `--shard` nor `--join`. Received: --ray "
            f"{ray} otherwise."
        )
    if out is not None:
        from kertl.evaluation._to_file import check_out

        check_out(out)
    if ray is not None:
        from kertl.evaluation._ray import check_ray

        check_ray(ray)
    return share


def is_finished(
    model: Any,
    images: Sequence[Path],
    out: Path,
    share: tuple[int, int] | None,
    given: dict[str, Any],
    *,
    cautions: Iterable[str],
) -> bool:
    """Whether the same command has finished the file; `abstain` and `coverage` are only compared once they are chosen.

    Raises:
        RunError: If another command made the file.
    """
    from kertl.evaluation import _made
    from kertl.evaluation._plan import files_once, of_shard, plan_of

    plan = plan_of(model, of_shard(files_once(images), share), shard=share, **given)
    noted = _made.read_note(out).get("options", {})
    plan["options"].update({name: noted.get(name, "asked for") for name in cautions})
    return _made.is_finished(out, plan)


def write(
    model: Any,
    told: Told,
    path: Path,
    images: Sequence[Path],
    out: Path,
    share: tuple[int, int] | None,
    ray: str | None,
    given: dict[str, Any],
) -> int:
    """Predict into a file, here or on a Ray cluster, whose processes load the model from its path; how many rows."""
    from kertl.evaluation import predict_on_ray, predict_to_file

    if ray is None:
        return predict_to_file(model, images, out, shard=share, **given)
    load = functools.partial(_load, told, path.absolute(), getattr(model, "engine", "keras"))
    return predict_on_ray(load, images, out, address=ray, **given)


def _load(told: Told, path: Path, engine: str) -> Any:
    """The model in a process of a cluster, or the export that answers for it."""
    if engine == "keras":
        return told.load(path)
    from kertl.exporting import exported

    return exported(path, engine)[0]


def _share(text: str | None, out: Path | None, *, join: bool) -> tuple[int, int] | None:
    """`3/16` as numbers, if it goes with the other options."""
    if out is None and text is not None:
        raise ArgumentError(f"`--shard` needs `--out`, the file to write to. Received: --shard {text} alone.")
    if join and (out is None or text is not None):
        raise ArgumentError(
            "`--join` needs `--out`, the file to write to, and no `--shard`. Received: --join otherwise."
        )
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ArgumentError(f"`--shard` must be K/N with 1 <= K <= N, such as 3/16. Received: --shard {text}.")
    return int(number), int(count)
