"""Features that several processes need: each extracts its share, and all get the same rows in the same order."""

import numpy as np
import pytest

from kertl.hardware import Team
from kertl.training import FeaturePool, Learner, _pool
from tests.families import lively
from tests.runs import quick, squares, tiny


class Of(Team):
    """One of so many processes, which gets nothing from the others."""

    def __init__(self, index, size):
        self._strategy, self.size, self.index = None, size, index


@pytest.fixture(scope="module")
def learner():
    data = squares()
    model = lively(tiny(), np.concatenate([data.train.batch(0, index)[0] for index in range(3)]).astype("float32"))
    return Learner.of(model, "single_label")


@pytest.mark.parametrize(("views", "shared"), [(0, True), (2, False)])
def test_each_process_extracts_its_share_and_versions_whole(learner, monkeypatch, views, shared):
    stage, images = quick("deep", augment="light"), squares().train
    whole = FeaturePool(learner, seed=0, engine="keras").values(stage, images, views=views, in_memory=True)
    found = []
    for index in range(3):
        monkeypatch.setattr(_pool, "team_of", lambda model, index=index: Of(index, 3))
        found.append(FeaturePool(learner, seed=0, engine="keras").values(stage, images, views=views, in_memory=True))
    if shared:
        assert [len(rows) for rows in found] == [len(part) for part in np.array_split(np.arange(len(whole)), 3)]
        np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-6)
    else:
        for rows in found:
            np.testing.assert_array_equal(np.asarray(rows), np.asarray(whole))
