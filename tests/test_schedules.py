import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import kertl.schedules
from kertl.recipe import SCHEDULES
from kertl.schedules import Cyclical, Join, OneCycle, SlantedTriangular, schedule_named
from tests.messages import assert_names

# Arguments for each schedule of the module: a new one is tested as soon as it has an entry here.
EXAMPLES = {
    OneCycle: [
        {"peak": 0.1, "total_steps": 100},
        {"peak": 3e-4, "total_steps": 7, "warmup_fraction": 0.0},
        {"peak": 1.0, "total_steps": 1, "warmup_fraction": 0.5, "start_divisor": 1.0, "end_divisor": 10.0},
    ],
    Cyclical: [
        {"base": 0.01, "peak": 0.1, "half_cycle": 4},
        {"base": 0.01, "peak": 0.1, "half_cycle": 3, "mode": "triangular2"},
        {"base": 0.01, "peak": 0.1, "half_cycle": 1, "mode": "exp_range", "gamma": 0.9},
    ],
    SlantedTriangular: [
        {"peak": 0.1, "total_steps": 60},
        {"peak": 0.1, "total_steps": 7, "warmup_fraction": 0.5, "ratio": 8.0},
        {"peak": 0.1, "total_steps": 2},
    ],
    Join: [
        {"schedules": [0.02, OneCycle(0.1, 5), keras.optimizers.schedules.CosineDecay(0.3, 9)], "lengths": [2, 4]},
        {"schedules": [0.5], "lengths": []},
    ],
}
CASES = [(kind, arguments) for kind, examples in EXAMPLES.items() for arguments in examples]


def one_cycle(step, peak, total_steps, warmup_fraction=0.3, start_divisor=25.0, end_divisor=1e5):
    """fastai's combined cosines (`fastai.callback.schedule.combined_cos`), for one step."""
    done = min(step / total_steps, 1.0)
    if done < warmup_fraction:
        start, end, share = peak / start_divisor, peak, done / warmup_fraction
    else:
        start, end, share = peak, peak / end_divisor, (done - warmup_fraction) / (1 - warmup_fraction)
    return start + (1 + math.cos(math.pi * (1 - share))) * (end - start) / 2


def schedules():
    kind = keras.optimizers.schedules.LearningRateSchedule
    members = vars(kertl.schedules).values()
    return {item for item in members if inspect.isclass(item) and issubclass(item, kind)}


def test_every_schedule_of_the_module_has_an_example_here():
    assert schedules() == set(EXAMPLES)


@pytest.mark.parametrize("arguments", EXAMPLES[OneCycle])
def test_one_cycle_is_its_formula_at_every_step_and_stays_at_its_end(arguments):
    schedule = OneCycle(**arguments)
    for step in range(2 * arguments["total_steps"] + 1):
        expected = one_cycle(step, **arguments)
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-4, abs=1e-7 * arguments["peak"]), step


def cyclical(step, base, peak, half_cycle, mode="triangular", gamma=0.9999):
    """Smith 2017, section 3.1 and the two variations behind it, for one step."""
    cycle = math.floor(1 + step / (2 * half_cycle))
    height = max(0, 1 - abs(step / half_cycle - 2 * cycle + 1))
    scale = {"triangular": 1, "triangular2": 1 / 2 ** (cycle - 1), "exp_range": gamma**step}[mode]
    return base + (peak - base) * height * scale


def slanted(step, peak, total_steps, warmup_fraction=0.1, ratio=32.0):
    """Howard & Ruder 2018, equation 3, for one step; its way down ends at the last step where the cut is whole."""
    cut = max(1, math.floor(total_steps * warmup_fraction))
    step = min(step, total_steps)
    share = step / cut if step < cut else 1 - (step - cut) / (total_steps - cut)
    return peak * (1 + share * (ratio - 1)) / ratio


@pytest.mark.parametrize(
    ("kind", "formula", "arguments"),
    [(kind, how, one) for kind, how in ((Cyclical, cyclical), (SlantedTriangular, slanted)) for one in EXAMPLES[kind]],
)
def test_a_schedule_is_the_formula_of_its_paper_at_every_step(kind, formula, arguments):
    schedule = kind(**arguments)
    for step in range(130):
        assert float(schedule(step)) == pytest.approx(formula(step, **arguments), rel=1e-4), step


def test_joined_schedules_each_count_from_zero():
    schedule = Join([0.02, OneCycle(0.1, 5), keras.optimizers.schedules.CosineDecay(0.3, 9)], lengths=[2, 4])
    expected = [0.02] * 2 + [one_cycle(step, 0.1, 5) for step in range(4)]
    expected += [0.3 * 0.5 * (1 + math.cos(math.pi * min(step, 9) / 9)) for step in range(12)]
    assert [float(schedule(step)) for step in range(18)] == pytest.approx(expected, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Cyclical(0.1, 0.1, 5), ("`peak`", "> 0.1", "peak=0.1")),
        (
            lambda: Cyclical(0.1, 0.2, 5, mode="square"),
            ("`mode`", "'triangular'", "'triangular2'", "'exp_range'", "mode='square'"),
        ),
        (lambda: Cyclical(0.1, 0.2, 5, gamma=1.5), ("`gamma`", "> 0", "<= 1", "gamma=1.5")),
        (lambda: SlantedTriangular(0.1, 1), ("`total_steps`", ">= 2", "total_steps=1")),
        (lambda: Join([0.1, 0.2], []), ("`lengths`", "`schedules`", "lengths=[]", "2")),
        (lambda: Join([-0.1], []), ("`schedules`", "> 0", "schedules=-0.1")),
    ],
)
def test_wrong_arguments_of_the_others_are_refused(make, named):
    with pytest.raises(ValueError, match="Received") as caught:
        make()
    assert_names(caught.value, *named)


@pytest.mark.parametrize("schedule", [OneCycle(0.1, 50), keras.optimizers.schedules.CosineDecay(0.1, 50)])
def test_any_schedule_can_be_drawn(schedule, tmp_path):
    kertl.schedules.plot(schedule, 50, tmp_path / "rate.png")
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")


def test_one_cycle_rises_to_its_peak_at_the_warmup_fraction_and_falls_from_there():
    rates = [float(OneCycle(0.5, 50, warmup_fraction=0.2)(step)) for step in range(51)]
    assert rates[0] == pytest.approx(0.5 / 25)
    assert rates[10] == pytest.approx(0.5)
    assert rates[50] == pytest.approx(0.5 / 1e5, rel=1e-2)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_step_may_be_the_step_count_of_an_optimizer():
    optimizer = keras.optimizers.SGD(OneCycle(0.1, 10))
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    for step in range(4):
        assert float(optimizer.learning_rate) == pytest.approx(one_cycle(step, 0.1, 10), rel=1e-5)
        optimizer.apply([keras.ops.ones(1)])


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_a_schedule_is_the_same_from_its_config(kind, arguments):
    schedule = kind(**arguments)
    again = kind.from_config(json.loads(json.dumps(schedule.get_config())))
    assert again.get_config() == schedule.get_config()
    assert [float(again(step)) for step in range(9)] == [float(schedule(step)) for step in range(9)]


@pytest.mark.promise
@pytest.mark.slow
def test_every_schedule_is_the_same_in_a_new_process():
    made = [kind(**arguments) for kind, arguments in CASES]
    serialised = [keras.saving.serialize_keras_object(schedule) for schedule in made]
    code = (
        "import json, sys, keras, kertl.schedules\n"
        "made = [keras.saving.deserialize_keras_object(one) for one in json.loads(sys.argv[1])]\n"
        "print(json.dumps([[float(schedule(step)) for step in range(9)] for schedule in made]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(serialised)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = [[float(schedule(step)) for step in range(9)] for schedule in made]
    assert json.loads(done.stdout.splitlines()[-1]) == expected


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_stage_can_name_every_schedule_of_a_recipe(name):
    schedule = schedule_named(name, 0.2, total_steps=40)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(41)]
    assert max(rates) == pytest.approx(0.2)


def test_cosine_is_its_formula():
    # Loshchilov & Hutter, "SGDR", 2017, equation 5, without restarts.
    schedule = schedule_named("cosine", 0.2, total_steps=40)
    for step in range(41):
        expected = 0.2 * 0.5 * (1 + math.cos(math.pi * step / 40))
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-4, abs=1e-8)


def restarts(step, total=70):
    """The same with restarts, equation 5 and T_mult = 2, for cycles of 10, 20 and 40 steps; then it stays low."""
    begin, length = 0, total / 7
    while step >= begin + length and length < total:
        begin, length = begin + length, 2 * length
    return 0.2 * 0.5 * (1 + math.cos(math.pi * (step - begin) / length))


def warmed(step):
    return 0.008 + 0.192 * step / 4 if step < 4 else 0.1 * (1 + math.cos(math.pi * min(step - 4, 36) / 36))


@pytest.mark.parametrize(
    ("name", "total", "formula"),
    [
        ("warmup_cosine", 40, warmed),
        ("cosine_restarts", 70, restarts),
        ("step", 40, lambda step: 0.2 if step < 20 else 0.02 if step < 30 else 0.002),
        ("triangular", 40, lambda step: cyclical(step, 0.05, 0.2, 5)),
        ("slanted_triangular", 40, lambda step: slanted(step, 0.2, 40)),
    ],
)
def test_a_named_schedule_is_its_formula_at_every_step(name, total, formula):
    schedule = schedule_named(name, 0.2, total_steps=total)
    for step in range(total):
        assert float(schedule(step)) == pytest.approx(formula(step), rel=1e-4, abs=1e-7), step


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [3, 4, 5])
def test_a_named_schedule_takes_a_short_training(name, total):
    schedule = schedule_named(name, 0.2, total_steps=total)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(total)]
    assert all(0 < rate <= 0.2000001 for rate in rates)


def test_constant_is_the_rate_itself():
    assert schedule_named("constant", 0.2, total_steps=40) == 0.2


@pytest.mark.parametrize(
    ("argument", "value", "accepted"),
    [
        ("peak", 0, ["> 0"]),
        ("peak", float("nan"), ["> 0"]),
        ("peak", float("inf"), ["> 0"]),
        ("peak", "1e-3", ["> 0"]),
        ("total_steps", 0, [">= 1"]),
        ("total_steps", 10.0, [">= 1"]),
        ("warmup_fraction", 1, [">= 0", "< 1"]),
        ("warmup_fraction", -0.1, [">= 0", "< 1"]),
        ("start_divisor", 0.5, [">= 1"]),
        ("end_divisor", 0.5, [">= 1"]),
    ],
)
def test_a_value_out_of_range_is_refused(argument, value, accepted):
    with pytest.raises(ValueError, match="Received") as caught:
        OneCycle(**{"peak": 0.1, "total_steps": 10, argument: value})
    assert_names(caught.value, f"`{argument}`", *accepted, f"{argument}={value!r}")


def test_an_unknown_schedule_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"`schedule` must be .*schedule='onecycle'.*'one_cycle'"):
        schedule_named("onecycle", 0.1, 10)


def named(name, steps):
    schedule = schedule_named(name, 0.32, steps)
    return [float(schedule(step)) if callable(schedule) else schedule for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", SCHEDULES)
def test_one_or_two_steps_are_taken_at_the_peak(name, steps):
    assert named(name, steps) == pytest.approx([0.32] * steps)


@pytest.mark.parametrize(("steps", "lengths"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (5, 2, 3)), (100, (50, 25, 25))])
def test_the_rate_drops_after_half_and_three_quarters_of_the_steps(steps, lengths):
    expected = [rate for rate, length in zip((0.32, 0.032, 0.0032), lengths, strict=True) for _ in range(length)]
    assert named("step", steps) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("steps", "cycles"), [(3, 1), (5, 2), (15, 4), (16, 4), (100, 4), (1001, 4)])
def test_triangles_are_whole_and_end_low(steps, cycles):
    rates = [*named("triangular", steps), float(schedule_named("triangular", 0.32, steps)(steps))]
    assert rates[0] == pytest.approx(0.08)
    assert rates[-1] == pytest.approx(0.08, rel=1e-3)
    rising = [after > before for before, after in itertools.pairwise(rates)]
    assert [up for up, _ in itertools.groupby(rising)] == [True, False] * cycles
