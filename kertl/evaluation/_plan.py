"""What makes a file of predictions what it is: the files, their shares, the model and the options.

A note of it tells the same call from another one, which would write something else.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kertl._checks import complain, integer
from kertl.data._listing import files_in
from kertl.errors import DataError, RunError
from kertl.evaluation._caution import Caution
from kertl.evaluation._form import is_keras
from kertl.evaluation._made import differing
from kertl.model import model_info
from kertl.run_files import read_json, sha256_of_arrays, write_json

if TYPE_CHECKING:
    import keras


def files_once(paths: Sequence[Path]) -> list[str]:
    """The files, and those in the folders; one that is named twice is there once.

    Raises:
        DataError: If there are paths, and none of them exists.
    """
    if paths and not any(path.exists() for path in paths):
        shown = [str(path) for path in paths[:3]]
        raise DataError(f"`paths` must name files or folders that exist. Received: {shown}.", code="no-images")
    return list(dict.fromkeys(files_in(paths, [])))


def files_by_share(paths: Sequence[Path], count: int) -> dict[int, list[str]]:
    """The files of each of so many shares that has one, by its number from 1 on."""
    found: dict[int, list[str]] = {}
    for file in files_once(paths):
        found.setdefault(_share(file, count), []).append(file)
    return dict(sorted(found.items()))


def of_shard(files: Sequence[str], shard: tuple[int, int] | None) -> list[str]:
    """The files whose names fall into a share."""
    if shard is None:
        return list(files)
    number, count = shard
    integer("shard", number, at_least=1)
    if number > integer("shard", count, at_least=1):
        raise complain("shard", "(k, n) with 1 <= k <= n", shard)

    return [file for file in files if _share(file, count) == number]


def _share(file: str, count: int) -> int:
    """Which of so many shares a file is in, from 1 on, by its name."""
    name = Path(file).name.encode("utf-8", "surrogateescape")
    return int(hashlib.sha256(name).hexdigest()[:12], 16) % count + 1


def plan_of(
    model: "keras.Model",
    files: Sequence[str],
    *,
    top: int,
    shard: tuple[int, int] | None,
    views: int,
    augment: Any,
    seed: int = 0,
    preprocessing: "str | keras.layers.Layer | None" = None,
    caution: Caution | None = None,
) -> dict[str, Any]:
    """What decides about each row: the model, the files, and how it is asked, as `predict_to_file` says."""
    options = {"views": views, "augment": augment, "seed": seed, "preprocessing": preprocessing, "caution": caution}
    share = {} if shard is None else {"shard": list(shard)}
    of_files = {"files": digest_of(map(state_of, files)), "count": len(files)}
    return {**identity_of(model), "top": top, "options": said_of(options), **of_files, **share}


def said_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as a plan has them: of a caution what was asked for and what was chosen."""
    said = {name: _said(value) for name, value in options.items() if name != "caution"}
    caution = options.get("caution")
    if caution is not None and caution.least is not None:
        said["abstain"] = repr((caution.risk, caution.least))
    if caution is not None and caution.set_level is not None:
        said["coverage"] = repr((caution.coverage, caution.set_level))
    return said


def _said(value: Any) -> str:
    """An option as text; a layer by its settings and weights, since its name counts the layers of the process."""
    if not hasattr(value, "get_config"):
        return repr(value)
    settings = _without_names(value.get_config())
    return f"{type(value).__name__}({settings}, {sha256_of_arrays(value.get_weights())})"


def _without_names(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(one) for one in config] if isinstance(config, list | tuple) else config


def identity_of(model: "keras.Model") -> dict[str, str]:
    """What decides about the answers of a model: checksums of its weights, and of its layers and what is said about it.

    What only behaves like a model may have a checksum of its own.
    """
    said = repr(model_info(model))
    if is_keras(model):
        from kertl.model import architecture

        said += architecture(model)
    return {
        "model": getattr(model, "digest", None) or sha256_of_arrays(model.get_weights()),
        "description": digest_of([said]),
    }


def state_of(file: str) -> str:
    """What changes when a file does."""
    try:
        found = Path(file).stat()
    except OSError:
        return file
    return f"{file}\n{found.st_size}\n{found.st_mtime_ns}"


def digest_of(names: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def check_plan(parts: Path, plan: dict[str, Any]) -> None:
    """Note what the parts are of; those that are there must be of the same."""
    noted = parts / "plan.json"
    if not noted.exists():
        for leftover in parts.glob("[!.]*"):  # of nobody knows what
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        write_json(noted, plan)
    elif (found := read_json(noted)) != plan:
        differ = differing(found, plan)
        raise RunError(
            f"{str(parts)!r} must have parts of the same model, files and options. Received: parts that differ in "
            f"{', '.join(differ)}. Remove it to begin again, or choose another file.",
            code="run-differs",
        )
