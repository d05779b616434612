"""`adapt`: a trained classifier for another domain, with labels of it or without."""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import LARGEST_SEED, check_cache_dir, complain, integer, one_of
from kertl._domains import SOURCE_FILE, Classifier, SourceFeatures
from kertl._terminal import told
from kertl.adaptation._auto import choose
from kertl.adaptation._batch_norm import adapted_batch_norm
from kertl.adaptation._deeper import adapt_deeper
from kertl.adaptation._judge import judge
from kertl.adaptation._labelled import HEADS, adapt_with_labels
from kertl.adaptation._methods import ON_FEATURES, Domains, Solved, unchanged
from kertl.adaptation._result import Adaptation
from kertl.backbones import refuse_nan
from kertl.data import ImageDataset, from_directory
from kertl.errors import DataError
from kertl.evaluation import resize_of, run_images
from kertl.model import model_info, picture_shape, task_of
from kertl.run_files import local_run
from kertl.runner import RECIPE, check_finished
from kertl.studies import above_chance, domain_images, estimated_shares
from kertl.training import Learner, train_on_entropy

METHODS = ("auto", "labels", "fine_tune", "none", "adabn", "tent", *ON_FEATURES)
_FEW = 200
_LABEL_SHIFT = 0.15
_MANY_CHANGED = 0.3
_WITHOUT_IMAGES = (
    "The statistics of the layers were taken for the source's, which they are not if the backbone was frozen while the "
    "head was trained. Pass images of the source as `source`."
)


def adapt(
    model: keras.Model,
    target: Any,
    *,
    source: Any = None,
    method: str = "auto",
    head: str = "keep",
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Adaptation:
    """Adapt a trained classifier to images of another domain, such as those of other equipment.

    Everything but "adabn" and "tent" runs on features that the backbone computes once, and changes the last Dense layer
    alone, so that the result is the plain Keras model that it was, and trying all methods takes seconds.

    Without labels of the target:

    - "restyle" gives the features of the source the means and standard deviations of the target, and solves the head on
      them and on the source as it is, so that it serves both domains;
    - "align" gives each feature of the target the mean and standard deviation that it has in the source, and "coral"
      the covariance too, for the head as it is;
    - "pseudo" aligns, then solves the head anew on the source and on the surest predictions for the target, as many of
      each class as it predicts;
    - "ot" moves the source onto the target by optimal transport and solves the head there (extra `adaptation`);
    - "prior" corrects for other shares of the classes (label shift), and for nothing else;
    - "deep_coral", "mmd" and "dann" align, then train a projection of the features and a head on it, which begin as the
      classifier is: on the labels of the source, and on a distance of the projected domains, which is that of their
      covariances, the maximum mean discrepancy, or what a small network behind a reversed gradient can still tell;
    - "adabn" measures the statistics of BatchNorm layers on the target, relative to the source if its images are given;
    - "tent" does so, and then trains their scales and offsets so that the predictions for the target become surer;
    - "none" only judges the model as it is.

    "auto" does nothing where no shift is seen, and corrects the prior where other shares of classes explain the shift.
    Where the model predicts shares far from the source's, and neither `shares` nor the shape of the scores says that
    the shift made it do so, it does nothing either. Else it takes "restyle", unless a head that learns from its
    predictions does far worse on the source; `reason` of the result says which, and `risk` what cannot be known.
    docs/design/adaptation.md has what each method gave and harmed.

    With labels ("auto" where the target has them, or "labels") the head is solved on the target, on the features of
    the source replayed beside it, or on aligned features; cross-validation on the labels chooses, and the accuracies on
    both domains are reported, with intervals. A head for other classes is asked for by `head`. "fine_tune" trains a
    copy of the model from the layer group on from which `kertl.shift` sees the domains differ ("mid" without images of
    the source), with lower rates towards it and a pull towards the weights of the source (L2-SP).

    Args:
        model: A classifier for one class of several, or of two; it is not changed. The adapted model shares its frozen
            layers.
        target: Images of the new domain, at least 10: a part of `kertl.data`, an `ImageData` (its training set), an
            array, files or folders, or batches from elsewhere, whose labels are not read.
        source: What the model was trained on: labelled images in the same forms, `kertl.adaptation.SourceFeatures`, a
            folder with one folder of images per class, or a run directory, whose source_features.npz is read, or else
            its training images. Needed by all methods but "adabn", "tent" and "pseudo".
        method: "auto", "labels", "fine_tune", "none", "adabn", "tent", "restyle", "align", "coral", "prior", "pseudo",
            "ot", "deep_coral", "mmd" or "dann".
        head: With labels: "keep" the model's classes, "extend" them by the new ones of the target, or a "new" head for
            the target's classes.
        shares: Shares of the classes in the target, by name, where they are known, such as the usual rate of defects
            there; each > 0, with sum 1. "restyle", "align" and "pseudo" then compare the target with a source of these
            shares. Without, they take the shares for those of the source, and harm where they are far from it.
        seed: Seed of draws; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Returns:
        The adapted model, the method, what was judged, and warnings.

    Raises:
        DataError: If there are too few images, they have other channels than the model takes, labels are of other
            classes, or features of the source are not the model's.
        ValueError: If an argument is none of those above, the model is not such a classifier, or a method lacks the
            source.

    Example:
        >>> import keras, numpy as np, kertl
        >>> random = np.random.default_rng(0)
        >>> pictures = random.integers(0, 200, (60, 16, 16, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 30, class_names=["cat", "dog"], validation=0, test=0)
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
        >>> model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
        >>> model = kertl.model.describe(model, class_names=["cat", "dog"], preprocessing="none")
        >>> adapted = kertl.adapt(model, pictures + 50, source=data, method="align")
        >>> adapted.method, adapted.images
        ('align', (60, 60))
    """
    one_of("method", method, METHODS)
    one_of("head", head, HEADS)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_cache_dir(cache_dir)
    refuse_nan(model)
    classifier = Classifier(model)
    wanted = _known_shares(classifier, shares)
    images = domain_images("target", model, target, part="train")
    known = source_features(classifier, source, cache_dir)
    has_labels = images.labels is not None
    if method in ("labels", "fine_tune") and not has_labels:
        raise complain("method", "another one where the target has no labels", method)
    method = "labels" if method == "auto" and has_labels else method
    if wanted is not None and method not in ("auto", "none", *ON_FEATURES):
        raise complain("shares", f"left out for method={method!r}, which does not ask for them", shares)
    with told():
        if method == "labels":
            return adapt_with_labels(classifier, images, known, head=head, seed=seed, cache_dir=cache_dir)
        if head != "keep":
            raise complain("head", "'keep' but for method='labels', which needs labels of the target", head)
        if method == "fine_tune":
            pictures = _pictures(classifier, source)
            return adapt_deeper(classifier, images, pictures, seed=seed, cache_dir=cache_dir)
        if method in ("adabn", "tent"):
            return _with_batch_norm(method, classifier, images, source, known, seed, cache_dir)
        domains = Domains(classifier, classifier.features(images, cache_dir), known, wanted)
        return _on_features(domains, method, seed)


def _known_shares(classifier: Classifier, shares: Mapping[str, float] | None) -> np.ndarray | None:
    """Shares in the order of the classes."""
    if shares is None:
        return None
    accepted = f"a share above 0 for each of {list(classifier.names)}, by name, with sum 1"
    if not isinstance(shares, Mapping) or set(shares) != set(classifier.names):
        raise complain("shares", accepted, shares)
    given: list[Any] = [shares[name] for name in classifier.names]
    real = all(isinstance(share, numbers.Real) for share in given)
    if not real or min(given) <= 0 or not abs(sum(given) - 1) < 1e-3:
        raise complain("shares", accepted, shares)
    return np.array(given, np.float64)


def source_features(classifier: Classifier, source: Any, cache_dir: str | Path | None) -> SourceFeatures | None:
    """The features of the source, of whatever form it was given in.

    Raises:
        DataError: If they are not the model's, or the run directory has none.
    """
    if source is None:
        return None
    if isinstance(source, str | Path):
        source = of_folder(classifier, local_run(source, "source"))
    if not isinstance(source, SourceFeatures):
        return SourceFeatures.of(classifier.model, source, cache_dir=cache_dir)
    source.check(classifier)
    return source


def of_folder(classifier: Classifier, folder: Path) -> Any:
    """The source that a folder has: of a run directory the features in it, or else the images it was trained on.

    Raises:
        DataError: If it is a run directory, and its images are no longer there.
        RunError: If it is a run directory, and the run has not finished, or a file is not as it was written.
    """
    info = model_info(classifier.model)
    is_run = (folder / RECIPE).is_file()
    if is_run:
        check_finished(folder)
    if (folder / SOURCE_FILE).is_file():
        return SourceFeatures.load(folder / SOURCE_FILE)
    if not is_run or info is None:
        return from_directory(folder, **_form(classifier.model), validation=0, test=0)
    parts, why = run_images(folder, info)
    if "train" not in parts:
        raise DataError(
            f"`source` must be a run directory whose training images are there, or that has a {SOURCE_FILE}. Received: "
            f"{str(folder)!r}; {why}. `kertl.fine_tune(..., keep_features=True)` writes that file."
        )
    return parts["train"]


def _on_features(domains: Domains, method: str, seed: int) -> Adaptation:
    """A method on cached features, or the one that "auto" takes."""
    classifier, target = domains.classifier, domains.target
    if domains.lacking and method not in ("auto", "none", "prior"):
        raise DataError(
            f"`source` must have images of every class of the model for method={method!r}: what is adapted by it would "
            f"no longer know the others. Received: none of {domains.lacking}."
        )
    if method == "auto":
        choice = choose(domains, seed)
        method, solved, judged, reason = choice.method, choice.solved, choice.judged, choice.reason
    else:
        solved = unchanged(domains) if method == "none" else ON_FEATURES[method](domains)
        none = judge("none", domains, unchanged(domains))
        judged = (none,) if method == "none" else (none, judge(method, domains, solved))
        reason = "It was asked for."
    shares = solved.shares if solved.shares is not None else _estimated(domains, solved)
    return Adaptation(
        model=classifier.model if method == "none" else classifier.with_head(solved.kernel, solved.bias),
        method=method,
        reason=reason,
        risk=RISKS[method],
        judged=tuple(judged),
        shares=dict(zip(classifier.names, map(float, shares), strict=True)),
        images=(len(target), 0 if domains.source is None else len(domains.source.rows)),
        warnings=_warnings(domains, method, judged, shares),
    )


RISKS = {
    "restyle": "If the classes have other shares in the target, its means differ for that reason alone, and the head "
    "learns that as if it were the domain.",
    "none": "If there is a shift that was not seen, the model is as wrong as before.",
    "align": "If the classes have other shares in the target, their means differ for that reason alone, and aligning "
    "them takes away what tells the classes apart.",
    "coral": "As of 'align'; and covariances of few images are mostly noise.",
    "pseudo": "As of 'align'; and where the first predictions for a class are mostly wrong, they are learnt.",
    "ot": "If the classes have other shares in the target, images of one class are moved to those of another.",
    "prior": "If the images of a class look otherwise than in the source (covariate shift), the estimated shares are "
    "wrong, and so are the predictions then.",
    "deep_coral": "As of 'align'; and a distance can be made small by features that tell the classes apart less well.",
    "mmd": "As of 'align'; and a distance can be made small by features that tell the classes apart less well.",
    "dann": "As of 'align'; and the training is a game of two networks, which may end anywhere.",
    "adabn": "If the classes have other shares in the target, statistics differ for that reason alone.",
    "tent": "As of 'adabn'; and where predictions are mostly wrong, they become wrong and sure.",
}
"""What may be wrong with each method that needs no labels all the same."""


def _estimated(domains: Domains, solved: Solved) -> np.ndarray:
    """The shares of the classes in the target by EM from the adapted predictions; without a source, their mean."""
    classifier = domains.classifier
    probabilities = classifier.probabilities(domains.target @ solved.kernel + solved.bias)
    if domains.source is None:
        return np.asarray(probabilities.mean(axis=0))
    return estimated_shares(probabilities, np.maximum(domains.source_shares, 1e-3))


def _warnings(domains: Domains, method: str, judged: Sequence[Any], shares: np.ndarray) -> tuple[str, ...]:
    """What should be looked at."""
    found = []
    if len(domains.target) < _FEW and method != "none":
        found.append(f"{len(domains.target)} images of the target are few; what is estimated of them is uncertain.")
    if domains.source is not None:
        commonest = float(domains.source_shares.max())
        classifier, source = domains.classifier, domains.source
        said = classifier.probabilities(classifier.scores(source.rows)).argmax(axis=1)
        right = float(np.mean(said == source.labels))
        if not domains.lacking and not above_chance(right, commonest):
            found.append(
                f"The model is right for {right:.0%} of the source, whose commonest class has {commonest:.0%}: "
                "nothing can be expected of adapting it. Train it longer first."
            )
    if domains.source is not None and method not in ("none", "prior"):
        moved = float(np.abs(shares - domains.source_shares).sum() / 2)
        if moved > _LABEL_SHIFT and domains.known_shares is None:
            found.append(
                f"The classes may have other shares in the target (distance {moved:.2f}), where {method!r} can harm. "
                "If you know them, pass `shares`."
            )
    changed = judged[-1].changed if judged and judged[-1].method == method else 0.0
    changed = next((one.changed for one in judged if one.method == method), changed)
    if changed > _MANY_CHANGED:
        found.append(f"{changed:.0%} of the predictions changed. Look at some of these images before you rely on them.")
    return tuple(found)


def _with_batch_norm(
    method: str,
    classifier: Classifier,
    images: Any,
    source: Any,
    known: SourceFeatures | None,
    seed: int,
    cache_dir: Any,
) -> Adaptation:
    """AdaBN, with Tent after it or without, and what it changed."""
    model = classifier.model
    read = _pictures(classifier, source)
    adapted = classifier.told(adapted_batch_norm(model, images, read, method=method, seed=seed))
    if method == "tent":
        train_on_entropy(Learner.of(adapted, task_of(adapted)), images, seed=seed)
    before, other = classifier.features(images, cache_dir), Classifier(adapted)
    domains = Domains(classifier, before, known)
    now = Domains(other, other.features(images), known)
    one = judge(method, now, unchanged(now))
    said = [found.scores(rows) for found, rows in ((classifier, before), (other, now.target))]
    first, second = (classifier.probabilities(scores).argmax(axis=1) for scores in said)
    judged = (judge("none", domains, unchanged(domains)), replace(one, changed=float(np.mean(first != second))))
    shares = _estimated(now, unchanged(now))
    extra = () if read is not None else (_WITHOUT_IMAGES,)
    return Adaptation(
        model=adapted,
        method=method,
        reason="It was asked for.",
        risk=RISKS[method],
        judged=judged,
        shares=dict(zip(classifier.names, map(float, shares), strict=True)),
        images=(len(before), 0 if known is None else len(known.rows)),
        warnings=(*_warnings(now, method, judged, shares), *extra),
    )


def _pictures(classifier: Classifier, source: Any) -> ImageDataset | None:
    """The images of the source; None if there are none, but features at most."""
    if isinstance(source, str | Path):
        source = of_folder(classifier, local_run(source, "source"))
    if source is None or isinstance(source, SourceFeatures):
        return None
    return domain_images("source", classifier.model, source, part="train")


def _form(model: keras.Model) -> dict[str, Any]:
    """How images of a folder are made for a model."""
    size, channels = picture_shape(model)
    if size is None:
        raise complain("model", "one that takes pictures of one size, to decode files for it", model.name)
    return {"image_size": size, "resize": resize_of(model), "channels": channels or 3}
