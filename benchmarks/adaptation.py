"""What does each method of `kertl.adapt` give on real shifts, and where does it harm?

    OMP_NUM_THREADS=1 python benchmarks/adaptation.py FOLDER

Features of the MobileNetV2 of `kertl demo` at 96 px are computed once and kept in FOLDER; a head is solved on the
source. Shifts: photos of solar cells, mono- to polycrystalline and back; letters of 17 scripts, sans to serif and back;
cells under noise, blur, JPEG and more brightness, each at the first, third and fifth of five strengths, where source
and target are different cells. "auto" was set by all of them but the brightness. Accuracies are of a part of the target
that no method has seen; the oracle is a head solved on labels of the part that the methods saw without. Also: label
shift alone, no shift, label shift together with blur, heads from few labels, and false alarms of `kertl.studies.alarm`.
There CORAL, pseudo-labels and optimal transport are run with the first seed alone, and so is AdaBN, which needs the
images, on four shifts. Rows in results/adaptation.csv, the answer in docs/design/adaptation.md; `FOLDER table` prints
its table again, `FOLDER labels` runs the few labels and alarms alone, `FOLDER shares` what it gives to know the shares
of classes, `FOLDER shifts` all else. `FOLDER methods` runs every method on features on the same splits, with what could
choose among them, into results/adaptation_methods.csv, `FOLDER criteria` prints what came of that, `FOLDER tent` runs
AdaBN and Tent on four shifts, and `FOLDER auto` what "auto" chooses on all of them into results/adaptation_auto.csv,
whose table `FOLDER auto-table` prints again.
"""

import csv
import dataclasses
import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import suite_data
from PIL import Image, ImageFilter
from record import keep
from sklearn.linear_model import LogisticRegression

import kertl
import kertl.demo
from kertl._domains import Classifier
from kertl.adaptation import SourceFeatures
from kertl.adaptation._auto import choose
from kertl.adaptation._batch_norm import adapted_batch_norm
from kertl.adaptation._labelled import _Both
from kertl.adaptation._maps import aligned
from kertl.adaptation._methods import ON_FEATURES, Domains, unchanged
from kertl.probes import solve
from kertl.studies import Components, mmd_test
from kertl.training import Learner, train_on_entropy

SIDE, SEEDS = 96, (0, 1, 2)
STRENGTHS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
CORRUPTIONS = {
    "noise": (8, 16, 26, 38, 55),  # standard deviation in grey levels
    "blur": (0.5, 1.0, 1.5, 2.2, 3.0),  # radius in pixels
    "jpeg": (40, 25, 15, 9, 5),  # quality
    "brightness": (1.2, 1.4, 1.7, 2.1, 2.6),  # factor
}
WITH_LABEL_SHIFT = ("blur 1", "blur 3", "jpeg 3", "noise 3", "brightness 3")  # for "auto"; else blur 3 alone
METHODS = tuple(ON_FEATURES)
SLOW = ("coral", "pseudo", "ot")  # with the first seed alone


def corrupted(x, name, amount):
    """Images with one corruption; noise is the same in every run."""
    if name == "noise":
        drawn = np.random.default_rng(int(amount)).normal(0, amount, x.shape)
        return np.clip(x + drawn, 0, 255).astype("uint8")
    if name == "brightness":
        return np.clip(x * amount, 0, 255).astype("uint8")
    return np.stack([_blurred(image, amount) if name == "blur" else _compressed(image, amount) for image in x])


def _blurred(image, radius):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _compressed(image, quality):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content).convert("RGB"))


def cells():
    """All photos of cells, whether each is defective, and its type."""
    photos = kertl.demo.fetch_photos()
    with tempfile.TemporaryDirectory() as folder:
        table = kertl.demo.write_table(photos, Path(folder) / "cells.csv")
        rows = list(csv.DictReader(table.open(encoding="utf-8")))
    x = np.stack([kertl.data.read_image(photos / row["file"], image_size=(SIDE, SIDE)) for row in rows])
    return x, np.array([row["label"] == "defective" for row in rows], int), np.array([row["type"] for row in rows])


def letters():
    """All letters, their scripts, and whether each is Sans or Serif."""
    root = suite_data.prepare("scripts")
    rows = list(csv.DictReader((root / "table.csv").open(encoding="utf-8")))
    x = np.stack([kertl.data.read_image(root / row["file"], image_size=(SIDE, SIDE)) for row in rows])
    names = sorted({row["label"] for row in rows})
    faces = np.array([row["file"].rsplit("_", 1)[1].split("-")[0] for row in rows])
    return x, np.array([names.index(row["label"]) for row in rows]), faces


class Material:
    """Images and their features, computed once."""

    def __init__(self, folder):
        keras.utils.set_random_seed(0)
        backbone = kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf", input_shape=(SIDE, SIDE, 3))
        self.models = {classes: kertl.build(backbone, num_classes=classes) for classes in (2, 17)}
        self.views = {classes: Classifier(model) for classes, model in self.models.items()}
        self.cells, self.letters = cells(), letters()
        self._folder, self._known = folder, {}

    def features(self, name):
        """Of "cells", "letters", or cells under a corruption such as "blur 3"."""
        if name not in self._known:
            path = self._folder / f"{name}.npy"
            if not path.exists():
                np.save(path, self.views[2].features(self.images(name)))
            self._known[name] = np.load(path)
        return self._known[name]

    def images(self, name):
        """The same as pixels."""
        if name in ("cells", "letters"):
            return getattr(self, name)[0]
        kind, number = name.split()
        return corrupted(self.cells[0], kind, CORRUPTIONS[kind][int(number) - 1])


def shifts(material, seed, with_label_shift=("blur 3",)):
    """Name, number of classes, what is measured, and rows: source, its validation part, target, test part of target."""
    random = np.random.default_rng(seed)
    for name, tags in (("cells", ("mono", "poly")), ("letters", ("Sans", "Serif"))):
        _, labels, kinds = getattr(material, name)
        for a, b in (tags, tags[::-1]):
            source, target = (random.permutation(np.flatnonzero(kinds == kind)) for kind in (a, b))
            cut, half = len(source) * 3 // 4, len(target) // 2
            parts = (source[:cut], source[cut:], target[:half], target[half:])
            yield f"{a} to {b}".lower(), labels, name, name, parts
    labels = material.cells[1]
    parts = np.split(random.permutation(len(labels)), [1000, 1250, 1950])
    source, validation, target, test = parts
    yield "no shift", labels, "cells", "cells", parts
    rare = (keep_share(target, labels, 0.8, random), keep_share(test, labels, 0.8, random))
    yield "label shift", labels, "cells", "cells", (source, validation, *rare)
    for other in with_label_shift:
        yield f"label shift, {other}", labels, "cells", other, (source, validation, *rare)
    for kind, amounts in CORRUPTIONS.items():
        for number in range(1, len(amounts) + 1, 2):
            yield f"{kind} {number}", labels, "cells", f"{kind} {number}", parts


def keep_share(rows, labels, share, random):
    """All defective cells of some, and so many others that these are the given share of all."""
    defective, others = rows[labels[rows] == 1], rows[labels[rows] == 0]
    return np.concatenate([defective, random.permutation(others)[: int(len(defective) * (1 - share) / share)]])


def solved_head(rows, targets, validation, truth, strengths=STRENGTHS):
    return solve(rows, targets, link="softmax", held_out=(validation, truth), strengths=strengths)


def measure(material, seed, only):
    """Rows of results of one seed, shift by shift."""
    heads = {}
    for name, labels, of_source, of_target, (source, validation, target, test) in shifts(material, seed):
        if only and name not in only:
            continue
        classes, start = int(labels.max()) + 1, time.perf_counter()
        first, second, one_hot = material.features(of_source), material.features(of_target), np.eye(classes)[labels]
        key = (of_source, tuple(source[:5]))
        if key not in heads:
            head = solved_head(first[source], one_hot[source], first[validation], one_hot[validation])
            model = material.views[classes].with_head(head.kernel, head.bias)
            view = Classifier(model)
            heads[key] = head, view, SourceFeatures(first[source], labels[source], view.names, view.key())
        head, view, known = heads[key]
        domains = Domains(view, second[target], known)

        def accuracy(kernel, bias, rows=second[test], truth=labels[test]):
            return float(np.mean((rows @ kernel + bias).argmax(axis=1) == truth))

        oracle = solve(second[target], one_hot[target], link="softmax", strengths=[head.strength])
        row = {"seed": seed, "shift": name, "classes": classes}
        row["on source"] = accuracy(head.kernel, head.bias, first[validation], labels[validation])
        row["source only"], row["oracle"] = accuracy(view.kernel, view.bias), accuracy(oracle.kernel, oracle.bias)
        for method in METHODS:
            wanted = seed == 0 or method not in SLOW
            found = ON_FEATURES[method](domains) if wanted else None
            row[method] = accuracy(found.kernel, found.bias) if found is not None else ""
        row["adabn"] = ""
        if seed == 0 and name in ("mono to poly", "poly to mono", "noise 3", "blur 3"):
            row["adabn"] = with_adabn(material, view, of_source, of_target, source, target, test, labels)
        row["seconds"] = round(time.perf_counter() - start, 1)
        shown = {key: round(100 * value, 1) if isinstance(value, float) else value for key, value in row.items()}
        print({**shown, "seconds": row["seconds"]}, flush=True)
        keep("adaptation", [row], ("keras", "tensorflow", "scikit-learn", "POT"))


def methods(material, seeds=SEEDS):
    """Every method on every shift, a row each, with what can be known of it without labels of the target.

    What is in the file of results already is left out, so that it can go on.
    """
    heads, done = {}, {(int(row["seed"]), row["shift"]) for row in _kept("adaptation_methods")}
    for seed in seeds:
        # Letters last: with 17 classes every solution takes longer.
        for name, labels, of_source, of_target, parts in sorted(shifts(material, seed), key=_has_letters):
            if (seed, name) in done:
                continue
            source, validation, target, test = parts
            classes = int(labels.max()) + 1
            first, second, one_hot = material.features(of_source), material.features(of_target), np.eye(classes)[labels]
            key = (of_source, tuple(source[:5]))
            if key not in heads:
                head = solved_head(first[source], one_hot[source], first[validation], one_hot[validation])
                view = Classifier(material.views[classes].with_head(head.kernel, head.bias))
                heads[key] = view, SourceFeatures(first[source], labels[source], view.names, "")
            view, known = heads[key]
            domains = Domains(view, second[target], known)
            found, seconds = {"none": unchanged(domains)}, {"none": 0.0}
            for method, solve_it in ON_FEATURES.items():
                begun = time.perf_counter()
                found[method] = solve_it(domains)
                seconds[method] = round(time.perf_counter() - begun, 1)
            truth = first[validation], labels[validation]
            rows = [
                {
                    "seed": seed,
                    "shift": name,
                    "method": method,
                    "accuracy": float(np.mean((second[test] @ one.kernel + one.bias).argmax(1) == labels[test])),
                    **criteria,
                    "seconds": seconds[method],
                }
                for (method, one), criteria in zip(found.items(), _criteria(domains, found, *truth), strict=True)
            ]
            print(seed, name, {row["method"]: round(row["accuracy"], 3) for row in rows}, seconds, flush=True)
            keep("adaptation_methods", rows, ("keras", "tensorflow", "scikit-learn", "POT"))


def _kept(name):
    """The rows of a file of results."""
    path = Path(__file__).parent / "results" / f"{name}.csv"
    return list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []


def _has_letters(shift):
    return shift[2] == "letters"


def _criteria(domains, found, validation, truth):
    """Of each method, what could choose it: entropy, agreement of all methods, importance-weighted accuracy."""
    classifier = domains.classifier
    likely = [classifier.probabilities(domains.target @ one.kernel + one.bias) for one in found.values()]
    said = np.stack([one.argmax(axis=1) for one in likely])
    votes = np.stack([(said == label).sum(axis=0) for label in range(classifier.classes)])
    weights = _importance(validation, domains.target)
    for one, probabilities, own in zip(found.values(), likely, said, strict=True):
        # A head that takes mapped features is asked about the source without the map.
        rows = validation if one.map is None else _unmapped(one.map, validation)
        right = (rows @ one.kernel + one.bias).argmax(axis=1) == truth
        yield {
            "entropy": float(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean()),
            "agreement": float(((votes[own, np.arange(len(own))] - 1) / (len(found) - 1)).mean()),
            "weighted_validation": float(np.average(right, weights=weights)),
            "share_of_weights": float(weights.sum() ** 2 / (weights**2).sum() / len(weights)),
        }


def _unmapped(found, rows):
    """Rows whose map gives these rows."""
    centred = rows - found.offset
    return centred / found.matrix if found.matrix.ndim == 1 else np.linalg.solve(found.matrix.T, centred.T).T


def _importance(validation, target):
    """How much likelier each row is in the target, by a classifier on the principal components; 20 at most."""
    components = Components(validation, target)
    rows = np.concatenate([components(validation), components(target)])
    domain = np.repeat([0, 1], [len(validation), len(target)])
    model = LogisticRegression(C=0.1, max_iter=500).fit(rows, domain)
    ratio = np.exp(model.decision_function(components(validation))) * len(validation) / len(target)
    return np.clip(ratio, 0, 20)


def known_shares(material):
    """Where the shares of the classes are others, what it gives to know them."""
    for seed in SEEDS:
        for name, labels, of_source, of_target, (source, _, target, test) in shifts(material, seed):
            if not name.startswith("label") and name != "blur 3":
                continue
            rows, second = material.features(of_source)[source], material.features(of_target)
            one_hot = np.eye(2)[labels]
            head = solve(rows, one_hot[source], link="softmax", strengths=[0.3])
            view = Classifier(material.views[2].with_head(head.kernel, head.bias))
            domains = Domains(view, second[target], SourceFeatures(rows, labels[source], view.names, ""))
            told = dataclasses.replace(domains, known_shares=np.bincount(labels[target]) / len(target))
            found = {"source only": head, "restyle": ON_FEATURES["restyle"](domains)}
            found["restyle, shares known"] = ON_FEATURES["restyle"](told)
            found["align, shares known"] = ON_FEATURES["align"](told)
            shown = {
                method: round(float(np.mean((second[test] @ one.kernel + one.bias).argmax(1) == labels[test])), 3)
                for method, one in found.items()
            }
            print(f"seed {seed}, {name}: {shown}", flush=True)


def with_adabn(material, view, of_source, of_target, source, target, test, labels):
    pictures = material.images(of_source), material.images(of_target)
    read = kertl.studies.domain_images
    domains = [read("target", view.model, x[rows]) for x, rows in zip(pictures, (source, target), strict=True)]
    adapted = adapted_batch_norm(view.model, domains[1], domains[0])
    return float(np.mean(kertl.predict(adapted, pictures[1][test]).argmax(axis=1) == labels[test]))


def tent(material, seed=0):
    """AdaBN and Tent, which need the images, on the four shifts on which AdaBN was measured.

    What is in the file of results already is left out.
    """
    done = {(row["seed"], row["shift"]) for row in _kept("adaptation_images")}
    for name, labels, of_source, of_target, (source, validation, target, test) in shifts(material, seed):
        if name not in ("mono to poly", "poly to mono", "noise 3", "blur 3") or (str(seed), name) in done:
            continue
        first, one_hot = material.features(of_source), np.eye(2)[labels]
        head = solved_head(first[source], one_hot[source], first[validation], one_hot[validation])
        view = Classifier(material.views[2].with_head(head.kernel, head.bias))
        pictures = material.images(of_source), material.images(of_target)
        domains = [
            kertl.studies.domain_images("target", view.model, x[rows])
            for x, rows in zip(pictures, (source, target), strict=True)
        ]
        begun = time.perf_counter()
        adapted = view.told(adapted_batch_norm(view.model, domains[1], domains[0]))
        row = {"seed": seed, "shift": name}
        for method in ("adabn", "tent"):
            if method == "tent":
                train_on_entropy(Learner.of(adapted, "single_label"), domains[1])
            said = kertl.predict(adapted, pictures[1][test]).argmax(axis=1)
            row |= {"method": method, "accuracy": float(np.mean(said == labels[test]))}
            row |= {"seconds": round(time.perf_counter() - begun, 1)}
            print(row, flush=True)
            keep("adaptation_images", [row])


def few_labels(material):
    """Heads from 1, 5, 10 and 50 labelled images of each class of the target, with the source replayed or without."""
    _, labels, kinds = material.cells
    rows, one_hot, view = material.features("cells"), np.eye(2)[material.cells[1]], material.views[2]
    for a, b in (("mono", "poly"), ("poly", "mono")):
        for count in (1, 5, 10, 50):
            found = {"source only": [], "target alone": [], "replay": [], "align + replay": []}
            for seed in range(10):
                random = np.random.default_rng(seed)
                source, target = (random.permutation(np.flatnonzero(kinds == kind)) for kind in (a, b))
                half = len(target) // 2
                chosen = np.concatenate([target[:half][labels[target[:half]] == c][:count] for c in (0, 1)])
                test = target[half:]
                head = solve(rows[source], one_hot[source], link="softmax", strengths=[0.3])
                known = SourceFeatures(rows[source], labels[source], view.names, "")
                both = _Both(view, rows[chosen], labels[chosen], known, 0.3)
                fits = {
                    "source only": (head.kernel, head.bias),
                    "target alone": both.solved(None, replay=False),
                    "replay": both.solved(None, replay=True),
                    "align + replay": both.solved(aligned(known.rows, rows[target[:half]]), replay=True),
                }
                for name, (kernel, bias) in fits.items():
                    found[name].append(float(np.mean((rows[test] @ kernel + bias).argmax(axis=1) == labels[test])))
            shown = {name: f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for name, v in found.items()}
            print(f"{a} to {b}, {count} labels a class: {shown}", flush=True)


def alarms(material):
    """How often the alarm is raised on splits of one domain, and under corruptions of 50 images."""
    rows = material.features("cells")
    for name in ("cells", "noise 1", "blur 1", "jpeg 1", "noise 3"):
        raised = {0.01: 0, 0.05: 0}
        for seed in range(200 if name == "cells" else 50):
            random = np.random.default_rng(seed)
            order = random.permutation(len(rows))
            a, b = rows[order[:400]], material.features(name)[order[400:450]]
            components = Components(a, b)
            p_value = mmd_test(components(a), components(b), random, 199)[1]
            for level in raised:
                raised[level] += p_value <= level
        count = 200 if name == "cells" else 50
        print(f"alarm, 50 images of {name}:", {level: f"{n / count:.3f}" for level, n in raised.items()}, flush=True)


def table():
    """Mean over the seeds by shift."""
    rows = _kept("adaptation")
    names = [name for name in ("source only", *METHODS, "adabn", "oracle") if name in rows[0]]
    print("| shift | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for shift in dict.fromkeys(row["shift"] for row in rows):
        own = [row for row in rows if row["shift"] == shift]
        mean = {name: _mean([row.get(name) or "" for row in own]) for name in names}
        shown = " | ".join("" if mean[name] != mean[name] else f"{100 * mean[name]:.1f}" for name in names)
        print(f"| {shift} | {shown} |")


def criteria_table():
    """Mean accuracy of every method on the same splits, and what choosing one by each criterion would have given."""
    splits = {}
    for row in _kept("adaptation_methods"):
        splits.setdefault((row["seed"], row["shift"]), {})[row["method"]] = row
    names = list(next(iter(splits.values())))
    print("| shift | seeds | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 2))
    for shift in dict.fromkeys(shift for _, shift in splits):
        own = [found for (_, name), found in splits.items() if name == shift]
        means = [100 * np.mean([float(one[method]["accuracy"]) for one in own]) for method in names]
        print(f"| {shift} | {len(own)} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    signs = {"entropy": -1, "agreement": 1, "weighted_validation": 1}
    for title, wanted in (("seed 0", {"0"}), ("other seeds", {"1", "2"})):
        chosen = {key: found for key, found in splits.items() if key[0] in wanted}
        print(f"\nGains over the model as it is, {title}, {len(chosen)} splits: mean, lowest")
        gains = {method: [_gain(found, method) for found in chosen.values()] for method in names if method != "none"}
        for name, sign in signs.items():
            best = [max(found, key=lambda m, f=found: sign * float(f[m][name])) for found in chosen.values()]
            gains[f"by {name}"] = [_gain(found, m) for found, m in zip(chosen.values(), best, strict=True)]
        gains["best, known afterwards"] = [max(_gain(found, m) for m in names) for found in chosen.values()]
        for name, values in gains.items():
            print(f"  {name}: {100 * np.mean(values):+.1f}, {100 * min(values):+.1f}")
    shares = [float(found["none"]["share_of_weights"]) for found in splits.values()]
    print(f"\nEffective share of importance weights: median {np.median(shares):.2f}, lowest {min(shares):.2f}")


def auto(material, seeds=SEEDS):
    """What "auto" chooses on every split, a row each; what is in the file of results already is left out."""
    heads, done = {}, {(int(row["seed"]), row["shift"]) for row in _kept("adaptation_auto")}
    for seed in seeds:
        for name, labels, of_source, of_target, parts in sorted(
            shifts(material, seed, WITH_LABEL_SHIFT), key=_has_letters
        ):
            if (seed, name) in done:
                continue
            source, validation, target, test = parts
            first, second = material.features(of_source), material.features(of_target)
            classes = int(labels.max()) + 1
            one_hot, key = np.eye(classes)[labels], (seed, of_source, tuple(source[:5]))
            if key not in heads:
                head = solved_head(first[source], one_hot[source], first[validation], one_hot[validation])
                view = Classifier(material.views[classes].with_head(head.kernel, head.bias))
                heads[key] = head, view, SourceFeatures(first[source], labels[source], view.names, "")
            head, view, known = heads[key]
            choice = choose(Domains(view, second[target], known), seed)
            oracle = solve(second[target], one_hot[target], link="softmax", strengths=[head.strength])
            row = {"seed": seed, "shift": name}
            for title, one in (("source only", head), ("auto", choice.solved), ("oracle", oracle)):
                row[title] = float(np.mean((second[test] @ one.kernel + one.bias).argmax(axis=1) == labels[test]))
            row["chosen"] = choice.method
            print(row, choice.reason, flush=True)
            keep("adaptation_auto", [row], ("keras", "tensorflow", "scikit-learn"))


def auto_table():
    """By shift, mean over the seeds: source only, "auto", oracle, and the recovered share of the gap between them."""
    rows = _kept("adaptation_auto")
    print("| shift | source only | auto | oracle | gain | lowest of the seeds | recovered | chosen |\n|" + "---|" * 8)
    recovered, gains = [], []
    for shift in dict.fromkeys(row["shift"] for row in rows):
        own = [row for row in rows if row["shift"] == shift]
        values = 100 * np.array([[float(row[one]) for one in ("source only", "auto", "oracle")] for row in own])
        before, now, oracle = values.mean(axis=0)
        lowest = (values[:, 1] - values[:, 0]).min()
        share = (now - before) / (oracle - before) if oracle - before > 1 else float("nan")
        recovered += [] if share != share or shift.startswith("label") else [share]
        gains.append((now - before, lowest, shift))
        chosen = ", ".join(row["chosen"] for row in own)
        cells = f"{before:.1f} | {now:.1f} | {oracle:.1f} | {now - before:+.1f} | {lowest:+.1f}"
        print(f"| {shift} | {cells} | {'' if share != share else f'{share:.0%}'} | {chosen} |")
    print(f"\nRecovered on average over {len(recovered)} shifts without label shift: {np.mean(recovered):.0%}")
    for title, number in (("mean of the seeds", 0), ("of a single split", 1)):
        worst = sorted(gains, key=lambda one, number=number: one[number])[:4]
        print(f"Lowest gains, {title}:", ", ".join(f"{one[number]:+.1f} ({one[2]})" for one in worst))


def _gain(found, method):
    return float(found[method]["accuracy"]) - float(found["none"]["accuracy"])


def _mean(values):
    given = [float(value) for value in values if value != ""]
    return float(np.mean(given)) if given else float("nan")


def main(folder, *only):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"table": table, "criteria": criteria_table, "auto-table": auto_table}
    if only and only[0] in tables:
        return tables[only[0]]()
    material = Material(folder)
    if not only or only == ("labels",):
        few_labels(material)
        alarms(material)
    if only[:1] == ("methods",):
        return methods(material, [int(seed) for seed in only[1:]] or SEEDS)
    if only[:1] == ("auto",):
        auto(material, [int(seed) for seed in only[1:]] or SEEDS)
        return auto_table()
    if only == ("tent",):
        return tent(material)
    if only == ("shares",):
        return known_shares(material)
    only = () if only == ("shifts",) else only
    if only != ("labels",):
        for seed in SEEDS:
            measure(material, seed, only)
        table()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
