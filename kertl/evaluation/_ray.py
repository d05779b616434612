"""`predict_on_ray`: predictions for any number of images as tasks of a Ray cluster, one for each share, joined."""

import importlib.util
import logging
import shutil
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kertl import _checks
from kertl._checks import complain, integer
from kertl._terminal import tracked
from kertl.errors import DataError, MissingPackageError, RunError
from kertl.evaluation._form import check_asked
from kertl.evaluation._join import joined
from kertl.evaluation._made import is_finished, say_finished
from kertl.evaluation._plan import check_plan, digest_of, files_by_share, identity_of, said_of, state_of
from kertl.evaluation._to_file import check_out, predict_to_file

_logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5
_RETRIES = 3  # of a share whose process or machine died


def predict_on_ray(
    load: Callable[[], Any],
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    address: str,
    shares: int = 16,
    **options: Any,
) -> int:
    """Predict on image files as tasks of a Ray cluster, and join what they write.

    Each task is a share of `predict_to_file`. Where its process dies, Ray starts it again, here or on another machine,
    and it goes on after its last part; the same call again goes on after the shares that are done. So the images, the
    model and `out` must be on a file system that all machines see under the same paths, and kertl installed on each.

    Args:
        load: Gives the model, in this process and in each task; a function that can be pickled.
        paths: One or several files or folders.
        out: As in `predict_to_file`; rows come share by share.
        address: Of the cluster, as `ray.init` takes it: "auto", "host:port", "ray://host:port", or "local" for one that
            is started on this machine and ends with the call.
        shares: How many tasks; >= 1.
        options: Further arguments of `predict_to_file`, but for `shard`.

    Returns:
        How many rows the file has.

    Raises:
        MissingPackageError: If Ray is not installed.
        RunError: If there is no cluster at the address, a share dies again and again, or what is there is of another
            model, other images or options.
        DataError: If there is no file to predict on.
        ValueError: If an argument is not as described.
    """
    check_ray(address)
    out = check_out(out)
    given = [path.absolute() for path in _checks.paths("paths", paths)]
    integer("shares", shares, at_least=1)
    if "shard" in options:
        raise complain("shard", "left out: each task has its own", options["shard"])
    files = files_by_share(given, shares)
    every = [file for share in files.values() for file in share]
    if not every:
        raise DataError(
            f"There must be a file to predict on. Received: none in {list(map(str, given))}.", code="no-images"
        )
    model = load()
    check_asked(model)
    folder = out.absolute().with_name(f"{out.name}.shares")
    images = digest_of(map(state_of, every))
    plan = {**identity_of(model), "options": said_of(options), "files": images, "shares": shares}
    if is_finished(out, plan):
        say_finished(out, len(every))
        shutil.rmtree(folder, ignore_errors=True)  # what a kill left of it
        return len(every)
    check_plan(folder, plan)
    done = [folder / f"{number}{out.suffix}" for number in files]
    jobs = {
        number: (given, place, {**options, "shard": (number, shares)})
        for number, place in zip(files, done, strict=True)
        if not place.exists()
    }
    _logger.info("%d of %d shares are there already.", len(done) - len(jobs), len(done))
    if jobs:
        _run(load, jobs, address)
    rows = joined(done, out, plan)
    shutil.rmtree(folder)
    return rows


def check_ray(address: str) -> None:
    """Raise if Ray is not installed, or nothing answers at an address: Ray itself would go on trying for minutes.

    Raises:
        MissingPackageError: If it is not installed.
        RunError: If nothing answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingPackageError("Ray must be installed for `--ray`. Run `pip install 'kertl[ray]'`.")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return  # of which Ray knows at once
    try:
        socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> RunError:
    return RunError(
        f"`address` must be that of a Ray cluster that runs. Received: address={address!r}: {error}. "
        "`ray start --head` starts one; 'local' takes this machine.",
        code="workers",
    )


def _run(load: Callable[[], Any], jobs: dict[int, tuple[Any, ...]], address: str) -> None:
    """Let the cluster do all jobs.

    Raises:
        RunError: If there is no cluster, or a job fails.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error
    try:
        task = ray.remote(max_retries=_RETRIES, num_cpus=1)(_predict_share)
        waiting = [task.remote(load, *job) for job in jobs.values()]
        for _ in tracked(waiting, f"Predicting on {len(waiting)} shares", len(waiting), "share"):
            (ready,), waiting = ray.wait(waiting)
            ray.get(ready)
    except ray.exceptions.RayError as error:
        raise RunError(
            f"Every share must be done. Received: {type(error).__name__}: {str(error).strip().splitlines()[-1]}. "
            "The same call goes on after those that are.",
            code="workers",
        ) from error
    finally:
        ray.shutdown()


def _predict_share(load: Callable[[], Any], paths: Sequence[Path], out: Path, options: dict[str, Any]) -> int:
    """What a task does."""
    return predict_to_file(load(), paths, out, **options)
