"""`adapt` with labels of the target: which head, by cross-validation on them."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

import kertl
from kertl._checks import complain
from kertl._domains import Classifier, SourceFeatures, labels_of
from kertl.adaptation._maps import FeatureMap, aligned
from kertl.adaptation._result import RISK_OF_LABELS, Adaptation, Judged, interval_of
from kertl.data import ImageDataset
from kertl.errors import DataError
from kertl.model import ModelInfo, extend_classes, model_info, set_model_info, task_of
from kertl.probes import USUAL_STRENGTH, solve

HEADS = ("keep", "extend", "new")
_FOLDS = 5
_FEWEST_PER_CLASS = 2

# Fitted on features and class ids of both domains: kernel and bias for features of the target as they are.
_Fit = Callable[["_Both"], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class _Both:
    """Labelled features of the target, and of the source if there are any."""

    classifier: Classifier
    rows: np.ndarray
    labels: np.ndarray
    source: SourceFeatures | None
    strength: float
    """Of the penalty of a head that is solved."""

    def solved(self, found: FeatureMap | None, replay: bool) -> tuple[np.ndarray, np.ndarray]:
        """A head that is solved on the target, mapped or not, and the source beside it or not."""
        rows = self.rows if found is None else found(self.rows)
        parts = [(rows, self.labels)]
        if replay and self.source is not None:
            parts.append((self.source.rows, self.source.labels))
        solution = solve(
            np.concatenate([part for part, _ in parts]).astype(np.float32),
            self.classifier.targets(np.concatenate([ids for _, ids in parts])),
            link=self.classifier.link,
            weights=np.concatenate([np.full(len(part), 1 / len(part)) for part, _ in parts]),
            strengths=[self.strength],
        )
        return (solution.kernel, solution.bias) if found is None else found.folded(solution.kernel, solution.bias)


def _as_it_is(both: _Both) -> tuple[np.ndarray, np.ndarray]:
    return both.classifier.kernel, both.classifier.bias


def _aligned(both: _Both) -> tuple[np.ndarray, np.ndarray]:
    assert both.source is not None
    found = aligned(both.source.rows, both.rows)
    return found.folded(both.classifier.kernel, both.classifier.bias)


def _target(both: _Both) -> tuple[np.ndarray, np.ndarray]:
    return both.solved(None, replay=False)


def _replay(both: _Both) -> tuple[np.ndarray, np.ndarray]:
    return both.solved(None, replay=True)


def _aligned_replay(both: _Both) -> tuple[np.ndarray, np.ndarray]:
    assert both.source is not None
    return both.solved(aligned(both.source.rows, both.rows), replay=True)


_OF_TARGET: Mapping[str, _Fit] = {"target": _target}
_WITH_SOURCE: Mapping[str, _Fit] = {"align": _aligned, "replay": _replay, "align + replay": _aligned_replay}


def adapt_with_labels(
    classifier: Classifier,
    images: ImageDataset,
    source: SourceFeatures | None,
    *,
    head: str,
    seed: int,
    cache_dir: str | Path | None,
) -> Adaptation:
    """The head that is best for held-out images of the target, solved on all of them.

    Candidates are the model as it is, a head solved on the target alone and, with the source, one on aligned features,
    one on the target with the source replayed beside it, and one of both. Each counts the domains equally. Accuracies
    are those of five folds; where a class has a single image, nothing can be held out, and the last candidate is taken.

    Args:
        classifier: The classifier.
        images: Images of the target with labels.
        source: Features of the source.
        head: "keep", "extend" or "new".
        seed: Seed of the folds.
        cache_dir: Where features are cached.

    Raises:
        DataError: If labels are of other classes than the head has.
        ValueError: If a head is to be extended, and there are no new classes.
    """
    rows = classifier.features(images, cache_dir)
    classifier, source, candidates = _heads(classifier, images, source, head)
    labels = labels_of("target", classifier, images)
    assert labels is not None
    both = _Both(classifier, rows, labels, source, USUAL_STRENGTH if source is None else source.strength)
    smallest = int(np.bincount(labels)[np.unique(labels)].min())
    judged = tuple(_judged(both, name, fit, smallest, seed) for name, fit in candidates.items())
    known = [one for one in judged if one.target_accuracy is not None]
    # Of those that are equally good in the target, the one that knows the source best.
    best = max(known, key=lambda one: (one.target_accuracy or 0.0, one.source_accuracy or 0.0)) if known else judged[-1]
    reason = (
        f"It is best by cross-validation on {len(labels)} labelled images."
        if known
        else ("A class has a single image, so nothing could be held out; it uses all that is known.")
    )
    model = classifier.model if best.method == "none" else classifier.with_head(*candidates[best.method](both))
    warnings = (
        []
        if smallest >= _FEW_PER_CLASS
        else [f"The smallest class has {smallest} images in the target: accuracies differ by chance."]
    )
    lacking = [name for place, name in enumerate(classifier.names) if place not in labels]
    if lacking:
        warnings.append(f"The target has no labelled image of {', '.join(lacking)}, which the model may unlearn there.")
    if source is None:
        warnings.append("Without `source`, what was learnt there may be forgotten, and accuracy on it is not known.")
    shares = np.bincount(labels, minlength=classifier.classes) / len(labels)
    return Adaptation(
        model=model,
        method=best.method,
        reason=reason,
        risk=RISK_OF_LABELS,
        judged=judged,
        shares=dict(zip(classifier.names, map(float, shares), strict=True)),
        images=(len(rows), 0 if source is None else len(source.rows)),
        warnings=tuple(warnings),
    )


def _heads(
    classifier: Classifier, images: ImageDataset, source: SourceFeatures | None, head: str
) -> tuple[Classifier, SourceFeatures | None, dict[str, _Fit]]:
    """The classifier with the head that is asked for, the source in its numbering, and what may be done."""
    more = [name for name in images.class_names if name not in classifier.names]
    if head == "keep":
        candidates = {"none": _as_it_is, **_OF_TARGET, **(_WITH_SOURCE if source is not None else {})}
        return classifier, source, candidates
    if images.task == "multi_label" or classifier.link != "softmax":
        raise complain("head", "'keep' for a model with one output", head, "Build a new head: `kertl.build`.")
    if head == "extend":
        if not more:
            raise complain("head", "'keep' where the target has no new class", head)
        wider = Classifier(extend_classes(classifier.model, more))
        seen = None if source is None else dataclasses.replace(source, class_names=wider.names)
        return wider, seen, {**_OF_TARGET, **({"replay": _replay} if seen is not None else {})}
    names = tuple(images.class_names)
    if len(names) < 2:
        raise DataError(f"`target` must have at least two classes for head='new'. Received: {list(names)}.")
    width = classifier.kernel.shape[0]
    model = classifier.with_head(np.zeros((width, len(names))), np.zeros(len(names)))
    info = model_info(classifier.model) or ModelInfo(task_of(classifier.model), (), model.name, kertl.__version__)
    set_model_info(model, dataclasses.replace(info, class_names=names, thresholds=()))
    return Classifier(model), None, dict(_OF_TARGET)


_FEW_PER_CLASS = 10


def _judged(both: _Both, name: str, fit: _Fit, smallest: int, seed: int) -> Judged:
    """Accuracies of a candidate by folds, each of which leaves out images of both domains."""
    right = np.full(len(both.labels), np.nan)
    of_source = None if both.source is None else np.full(len(both.source.labels), np.nan)
    if smallest >= _FEWEST_PER_CLASS:
        folds = StratifiedKFold(min(_FOLDS, smallest), shuffle=True, random_state=seed)
        parts = np.random.default_rng(seed).permutation(0 if of_source is None else len(of_source)) % folds.n_splits
        for number, (fitted, asked) in enumerate(folds.split(both.rows, both.labels)):
            source = None if both.source is None else _without(both.source, parts != number)
            kernel, bias = fit(
                dataclasses.replace(both, rows=both.rows[fitted], labels=both.labels[fitted], source=source)
            )
            right[asked] = _said(both, both.rows[asked], kernel, bias) == both.labels[asked]
            if both.source is not None and of_source is not None:
                left = parts == number
                of_source[left] = _said(both, both.source.rows[left], kernel, bias) == both.source.labels[left]
    kernel, bias = fit(both)
    classifier = both.classifier
    said, before = _said(both, both.rows, kernel, bias), _said(both, both.rows, classifier.kernel, classifier.bias)
    probabilities = classifier.probabilities(both.rows @ kernel + bias)
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean()
    shares = np.bincount(both.labels, minlength=classifier.classes) / len(said)
    predicted = np.bincount(said, minlength=classifier.classes) / len(said)
    known = smallest >= _FEWEST_PER_CLASS
    return Judged(
        method=name,
        changed=float(np.mean(said != before)),
        entropy=float(entropy / np.log(classifier.classes)),
        domain_auc=float("nan"),
        imbalance=float(np.abs(predicted - shares).sum() / 2),
        reverse_accuracy=float("nan"),
        source_accuracy=float(np.mean(of_source)) if known and of_source is not None else None,
        target_accuracy=float(np.mean(right)) if known else None,
        source_interval=interval_of(of_source) if known and of_source is not None else None,
        target_interval=interval_of(right) if known else None,
    )


def _without(source: SourceFeatures, kept: np.ndarray) -> SourceFeatures:
    return dataclasses.replace(source, rows=source.rows[kept], labels=source.labels[kept])


def _said(both: _Both, rows: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The predicted classes."""
    return np.asarray(both.classifier.probabilities(rows @ kernel + bias).argmax(axis=1))
