import numpy as np
import pytest

from kertl.search._importance import importance_of


def trials(count, seed=0):
    """Hyperparameters drawn at random, one of which matters under a condition only, and one that never changes."""
    noise = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        values = {"rate": noise.uniform(), "optimizer": str(noise.choice(["sgd", "adam"])), "units": 64, "layers": 0}
        if noise.uniform() < 0.5:
            values.update(layers=1, width=int(noise.choice([8, 16])))
        found.append(values)
    return found


def test_what_decides_comes_first_and_what_never_changes_is_left_out():
    values = trials(60)
    found = importance_of(values, [one["rate"] + (one["optimizer"] == "adam") for one in values], seed=0)
    assert found.names[:2] == ("optimizer", "rate")
    assert set(found.names) == {"optimizer", "rate", "layers", "width"}
    assert found.means[1] > 10 * max(found.means[2:])
    assert found.explained > 0.8
    assert found.note == f"60 trials, out-of-bag R² {found.explained:.2f}"


def test_where_chance_decides_the_note_says_so():
    values = trials(30)
    found = importance_of(values, np.random.default_rng(1).uniform(size=30), seed=0)
    assert found.note.endswith(": too little to rely on")


def test_a_condition_that_decides_is_seen_though_its_hyperparameter_is_missing_elsewhere():
    values = trials(60)
    found = importance_of(values, [one.get("width", 0) for one in values], seed=0)
    assert found.names[0] == "width"


def test_few_trials_are_refused():
    with pytest.raises(ValueError, match="at least 5 with a value"):
        importance_of(trials(4), [0.1] * 4, seed=0)
