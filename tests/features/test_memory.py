import subprocess
import sys
import textwrap

import pytest

from tests.runs import REPOSITORY

# Random batches of rows of 1,280 float16 from files, as a training process gathers them.
GATHER = """
    import sys
    from pathlib import Path
    import numpy as np
    import resource
    import tensorflow as tf
    from kertl.features._choice import Choice
    from kertl.features._features import Features, OnDisk
    from kertl.features._layout import Layout
    from kertl.features._store import Store

    folder, count, shard = Path(sys.argv[1]), int(sys.argv[2]), 20_000
    store = Store(folder, "key", Layout(((1280,),), "float16"))
    digests = np.zeros((count, 32), np.uint8)
    digests[:, 24:] = np.arange(1, count + 1).astype(">u8").view(np.uint8).reshape(count, 8)
    digests = digests.view("S32")[:, 0]
    for start in range(0, count, shard):
        rows = np.arange(start, start + shard)[:, None] % 2048 + np.zeros((1, 1280), int)
        store.write(digests[start : start + shard], rows.astype(np.float16))
    del rows
    features = Features([OnDisk(store.rows(digests))], Choice("keras", ""), None, at="deep", views=0)
    del store
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    random = np.random.default_rng(0)
    for _ in range(1000):
        rows = random.integers(0, count, 256)
        taken = features.take(rows)
        assert taken.shape == (256, 1280)
        assert (taken[:, [0, -1]] == (rows % 2048)[:, None]).all()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(before / 1024, after / 1024)
"""


def gather(folder, count):
    """MB that the process took at most before and after gathering."""
    command = [sys.executable, "-c", textwrap.dedent(GATHER), str(folder), str(count)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [float(value) for value in done.stdout.split()]


@pytest.mark.promise
@pytest.mark.slow
def test_gathering_from_files_takes_no_more_memory_for_more_rows(tmp_path):
    before, after = gather(tmp_path, 40_000)
    assert after - before < 20


@pytest.mark.slow
def test_two_million_rows_take_no_more_memory_than_two_hundred_thousand(tmp_path):
    few = gather(tmp_path / "few", 200_000)[1]
    many = gather(tmp_path / "many", 2_000_000)[1]
    assert few < 1500
    assert many < few + 100
