"""How often does `kertl.diagnose` name the cause, over trainings that were made to go wrong, and healthy ones?

python benchmarks/diagnosis.py train     # trains what is missing, into results/diagnosis_histories.json
python benchmarks/diagnosis.py           # prints the confusion tables of both halves
"""

import argparse
import dataclasses
import json
import time
from collections import Counter
from pathlib import Path

from diagnosis_trainings import HALVES, Plan, run

from kertl.diagnosis import Curves, Known, judge

HISTORIES = Path(__file__).parent / "results" / "diagnosis_histories.json"

_BASES = {
    "digits": Plan(),
    "digit traits": Plan(),
    "tumours": Plan(units=16, validation=180, dropout=0.4, rate=1e-3),
    "diabetes": Plan(units=12, validation=140, dropout=0.2, rate=4e-3),
    "fashion": Plan(train=1000, dropout=0.5, rate=1e-3),
    "fashion traits": Plan(train=1000, dropout=0.4, rate=1e-3),
    "cells": Plan(units=32, dropout=0.5, rate=2e-4, validation=500),
    "ink": Plan(train=1000, dropout=0.3, rate=1e-3),
    "scripts": Plan(train=1500, dropout=0.4, rate=1e-3),
    "script traits": Plan(train=1500, dropout=0.4, rate=1e-3),
    "brahmic": Plan(train=1500, dropout=0.5, rate=1e-3),
    "height": Plan(train=1500, dropout=0.3, rate=1e-3),
}
_BIG = {"units": 256, "layers": 2, "dropout": 0.0, "l2": 0.0, "rate": 1e-3}


def plans(name):
    """The trainings on a data set: cause and plan."""
    base = _BASES[name]

    def as_usual(**changes):
        return dataclasses.replace(base, **changes)

    easy = name == "tumours"  # table values that a line nearly separates
    small, wide = name in ("tumours", "diabetes"), name not in ("tumours", "diabetes", "digits", "digit traits")
    regression, several = name in ("diabetes", "ink", "height"), name in ("digits", "fashion", "scripts")
    binary = name in ("tumours", "cells", "brahmic")
    yield "good_fit", as_usual()
    yield "good_fit", as_usual(schedule="one_cycle", units=base.units * 2)
    yield "good_fit", as_usual(schedule="constant", epochs=60, patience=5)
    yield "good_fit", as_usual(batch_norm=0.9, measured=True)
    yield "good_fit", as_usual(gradients=True, epochs=base.epochs + 10, train=1000)
    yield "good_fit", as_usual(epochs=20, then=as_usual(epochs=10, rate=base.rate / 5))
    few = 40 if easy else 100
    yield "overfitting", as_usual(**_BIG, train=few + 50, epochs=40)
    yield "overfitting", as_usual(**_BIG, train=few, epochs=40, schedule="constant", gradients=True)
    if not easy:
        if several:  # one unit is enough for two classes
            yield "underfitting", as_usual(units=1, epochs=40, dropout=0.0, rate=1e-2)
        yield "underfitting", as_usual(dropout=0.9, units=8, epochs=40, rate=5e-3)
        yield "underfitting", as_usual(l2=0.3, epochs=40, rate=5e-3)
    yield "still_improving", as_usual(schedule="constant", rate=base.rate / (3 if small else 10), epochs=10)
    yield "still_improving", as_usual(schedule="constant", rate=base.rate / 3, epochs=5, dropout=0.1)
    high = 0.3 if small else 0.03 if wide else 0.1
    yield "rate_too_high", as_usual(schedule="constant", rate=high, layers=2, dropout=0.0)
    yield "rate_too_high", as_usual(schedule="constant", rate=3 * high, dropout=0.0)
    yield "rate_too_low", as_usual(schedule="constant", rate=base.rate / 300, epochs=20)
    yield "rate_too_low", as_usual(schedule="constant", rate=3e-4, optimizer="sgd", epochs=15)
    yield "diverged", as_usual(schedule="constant", optimizer="sgd", rate=1e5, layers=2, dropout=0.0)
    if not regression:
        yield "batch_norm", as_usual(batch_norm=0.9995, layers=2, dropout=0.0, scale=30.0, epochs=10, rate=5e-3)
        yield "batch_norm", as_usual(batch_norm=0.9995, layers=3, dropout=0.3, epochs=10, rate=5e-3, measured=True)
    yield "batch_norm", as_usual(batch_norm=0.999, layers=2, dropout=0.0, scale=10.0, epochs=6, measured=True)
    if not easy:
        yield "leak", as_usual(**{**_BIG, "train": 400}, leak=True, noise=0.0 if regression else 0.1, epochs=40)
        yield "leak", as_usual(**_BIG, train=250, leak=True, epochs=40)
    yield "validation_too_small", as_usual(validation=10, schedule="constant")
    yield "validation_too_small", as_usual(validation=16)
    if several or binary:
        yield "label_noise", as_usual(noise=0.35)
        yield "label_noise", as_usual(noise=0.5, **_BIG, epochs=30)
    if several:
        yield "class_collapse", as_usual(rare=0.01, l2=5.0, rate=5e-3)
    if binary:
        yield "class_collapse", as_usual(rare=0.06, l2=2.0, rate=5e-3)
        yield "class_collapse", as_usual(rare=0.08, dropout=0.9, units=4, rate=5e-3, epochs=20)
        yield "class_collapse", as_usual(rare=0.1, l2=1.0, rate=5e-3, epochs=20)
    yield "plateau", as_usual(schedule="cut", rate=base.rate / 4, epochs=30)
    yield "plateau", as_usual(schedule="cut", rate=base.rate / 6, epochs=25, dropout=0.1)
    worse = as_usual(rate=0.3 if regression else 0.03, schedule="constant", epochs=8, dropout=0.0)
    yield "stage_made_it_worse", as_usual(epochs=20, then=worse)
    yield "stage_made_it_worse", as_usual(epochs=20, then=dataclasses.replace(worse, rate=0.1, epochs=5))
    yield "vanishing_gradients", as_usual(activation="sigmoid", layers=12, dropout=0.0, gradients=True, epochs=15)
    yield (
        "vanishing_gradients",
        as_usual(activation="sigmoid", layers=15, units=24, dropout=0.0, epochs=15, gradients=True),
    )


def records():
    return json.loads(HISTORIES.read_text()) if HISTORIES.exists() else []


def train(only=None):
    """Train what is missing, of one half or of both; each training is written as it ends."""
    wanted = {(name, repr(plan)) for names in HALVES.values() for name in names for _, plan in plans(name)}
    found = [one for one in records() if (one["data"], one["plan"]) in wanted]
    done = {(one["data"], one["plan"]) for one in found}
    for half, name, seed, cause, plan in _in_turn():
        if (name, repr(plan)) in done or only not in (None, half):
            continue
        start = time.perf_counter()
        record = run(name, plan, seed)
        record["history"] = {
            column: [None if value != value else float(f"{value:.5g}") for value in values]
            for column, values in record["history"].items()
        }
        found.append({"half": half, "data": name, "cause": cause, "plan": repr(plan), "seed": seed, **record})
        lines = ",\n".join(json.dumps(one) for one in found)
        HISTORIES.write_text(f"[\n{lines}\n]\n")
        print(name, cause, f"{time.perf_counter() - start:.1f} s", flush=True)


def judged(record):
    """The diagnosis of a record."""
    return judge(Curves(record["history"]), Known(**record["known"]))


def table(half):
    """Print the confusion table of a half, and each training that was judged wrongly."""
    found = [(one, judged(one)) for one in records() if one["half"] == half]
    if not found:
        return
    counts = Counter((one["cause"], diagnosis.verdict) for one, diagnosis in found)
    print(f"\nThe half {half!r}: {len(found)} trainings\n\n| cause | trainings | right | called instead |")
    print("|---|---|---|---|")
    for cause in dict.fromkeys(one["cause"] for one, _ in found):
        row = {verdict: count for (of, verdict), count in counts.items() if of == cause}
        others = ", ".join(f"{verdict} {count}" for verdict, count in row.items() if verdict != cause)
        print(f"| {cause} | {sum(row.values())} | {row.get(cause, 0)} | {others} |")
    right = sum(one["cause"] == diagnosis.verdict for one, diagnosis in found)
    ill = sum(one["cause"] == "good_fit" and not diagnosis.healthy for one, diagnosis in found)
    healthy = sum(one["cause"] == "good_fit" for one, _ in found)
    print(f"\nRight: {right} of {len(found)}, {right / len(found):.1%}; healthy runs called ill: {ill} of {healthy}")
    for one, diagnosis in found:
        if one["cause"] != diagnosis.verdict:
            also = ", ".join(other.verdict for other in diagnosis.others)
            print(
                f"- {one['data']}, {one['cause']}, seed {one['seed']}: {diagnosis.sentence} (also: {also or 'nothing'})"
            )


def _in_turn():
    """All trainings, so that whoever interrupts has some of each cause and data set: half, data, seed, cause, plan."""
    found = []
    for half, names in HALVES.items():
        for name in names:
            times = Counter()
            for seed, (cause, plan) in enumerate(plans(name)):
                found.append((times[cause] // (3 if cause == "good_fit" else 1), half, name, seed, cause, plan))
                times[cause] += 1
    return [one[1:] for one in sorted(found, key=lambda one: one[0])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("train", "table"), default="table")
    parser.add_argument("--half", choices=tuple(HALVES))
    arguments = parser.parse_args()
    if arguments.what == "train":
        train(arguments.half)
    else:
        for half in [arguments.half] if arguments.half else HALVES:
            table(half)
