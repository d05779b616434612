import keras
import pytest

from kertl.callbacks import GroupRates
from kertl.optimizers import discriminative
from kertl.schedules import OneCycle
from tests.marks import some_of
from tests.messages import assert_names
from tests.optimizers.grouped import examples, model

GROUPS = {"block1": 0.125, "block2": 0.25, "block3": 0.5, "head": 1.0}


def fit(optimizer, *callbacks, scaled=False, **options):
    trained = model()
    made = discriminative(optimizer, trained, layer_decay=0.5, **options)
    trained.compile(keras.optimizers.LossScaleOptimizer(made) if scaled else made, "mse")
    return trained.fit(*examples(), epochs=3, batch_size=4, callbacks=[GroupRates(), *callbacks], verbose=0).history


@pytest.mark.parametrize("scaled", some_of([False, True], False))
def test_the_figures_of_an_epoch_hold_the_rate_of_each_group_at_its_end(scaled):
    schedule = OneCycle(0.1, 6)
    history = fit("sgd", scaled=scaled, peak=schedule)
    assert [name for name in history if "/" in name] == [f"learning_rate/{name}" for name in GROUPS]
    for name, multiplier in GROUPS.items():
        expected = [multiplier * float(schedule(step)) for step in (2, 4, 6)]
        assert history[f"learning_rate/{name}"] == pytest.approx(expected)


def test_tensorboard_draws_a_curve_for_each_group(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    fit("adam", keras.callbacks.TensorBoard(tmp_path, write_graph=False), peak=0.125)
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    for name, multiplier in GROUPS.items():
        curve = [float(tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(f"epoch_learning_rate/{name}")]
        assert curve == [0.125 * multiplier] * 3


def test_an_optimizer_with_one_rate_is_refused_before_training():
    trained = model()
    trained.compile("adam", "mse")
    with pytest.raises(ValueError, match="Received") as caught:
        trained.fit(*examples(), callbacks=[GroupRates()], verbose=0)
    assert_names(caught.value, "`optimizer`", "kertl.optimizers.discriminative", "optimizer='Adam'", "GroupRates")
