"""The rules: what clashes, why it matters, what to do about it, and the source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kertl.compatibility import _clashes as clashes
from kertl.compatibility._case import Case
from kertl.compatibility._clashes import FEW_IMAGES, MANY_PARAMETERS, SMALL_BATCH, SURE, VERSIONS, WIDE
from kertl.compatibility._requirements import REQUIREMENTS


@dataclass(frozen=True)
class Rule:
    """One rule: `find` gives a text for each clash in a case."""

    name: str
    severity: str
    clash: str
    why: str
    advice: str
    source: str
    find: Callable[[Case], Iterator[str]]


def matrix() -> str:
    """The rules as a table in Markdown, which is docs/compatibility.md."""
    rows = [
        f"| `{one.name}` | error | {one.clash} | Training would fail. The message says what to do. | `fine_tune` |"
        for one in REQUIREMENTS
    ]
    rows += [
        f"| `{rule.name}` | {rule.severity} | {rule.clash} | {rule.why} {rule.advice} | {rule.source} |"
        for rule in RULES
    ]
    return "\n".join(
        ["| rule | severity | what clashes | why, and what to do | source |", "|---|---|---|---|---|", *rows]
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "rate-set-twice",
        "error",
        "ReduceLROnPlateau or LearningRateScheduler, and a stage with a schedule",
        "Keras raises when the callback first sets the rate, which may be hours in.",
        "Take schedule='constant', or leave the callback out.",
        "measured with Keras 3.15",
        clashes.rate_set_twice,
    ),
    Rule(
        "unknown-monitor",
        "error",
        "A callback that watches a metric that does not exist",
        "Keras warns in each epoch and never stops or saves.",
        "Name one of the existing metrics.",
        "measured with Keras 3.15",
        clashes.unknown_monitor,
    ),
    Rule(
        "without-meaning",
        "error",
        "A field of a stage that has no effect where it is trained",
        "The table below lists these fields.",
        "Leave it out.",
        "kertl.training.UNSUPPORTED",
        clashes.without_meaning,
    ),
    Rule(
        "live-augmentation-of-features",
        "error",
        "Cached features, and images that vary anew in each epoch",
        "Features are computed from fixed versions of the images.",
        "Pass views=4, or augment='none', or cache=False.",
        "docs/design/features.md",
        clashes.live_augmentation_of_features,
    ),
    Rule(
        "frozen-part-again-and-again",
        "warning",
        "Images that vary anew in each epoch, and a part that is frozen",
        "The frozen part is computed in every epoch, which takes most of the time.",
        f"Pass views={VERSIONS} or augment='none', so that its features are cached, or cache=False if that is meant.",
        "docs/design/features.md",
        clashes.frozen_again_and_again,
    ),
    Rule(
        "batch-norm-on-small-batches",
        "warning",
        f"BatchNorm that trains, and batches under {SMALL_BATCH}",
        "Mean and variance of few images are noise, in training and in the stored statistics.",
        "Freeze it (batch_norm='frozen', Head(batch_norm=False)), or use larger batches.",
        "Wu & He 2018, https://arxiv.org/abs/1803.08494",
        clashes.small_batches,
    ),
    Rule(
        "batch-norm-too-slow",
        "warning",
        "BatchNorm that trains, and a momentum too high for the number of steps",
        "Training normalises by the batch, evaluation by statistics that have not settled yet.",
        "Freeze it, train longer, or lower its momentum (Head(batch_norm_momentum=0.9)).",
        "Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167",
        clashes.slow_statistics,
    ),
    Rule(
        "dropout-before-batch-norm",
        "warning",
        "Dropout just before a BatchNorm that trains",
        "Dropout changes the variance in training but not in evaluation, so the stored variance is wrong.",
        "Put dropout after the last BatchNorm.",
        "Li et al. 2019, https://arxiv.org/abs/1801.05134",
        clashes.dropout_before_norm,
    ),
    Rule(
        "soft-labels-thrice",
        "warning",
        "MixUp or CutMix, the focal loss, and label smoothing at once",
        "Each gives less weight to what is already predicted well; together the labels hardly count.",
        "Keep one or two of the three.",
        "Zhang et al. 2018, section 4; Lin et al. 2017, https://arxiv.org/abs/1708.02002",
        clashes.soft_thrice,
    ),
    Rule(
        "own-loss-of-mixed-labels",
        "warning",
        "MixUp or CutMix, and a custom loss",
        "Mixed labels are rows of shares in training, and class ids in validation.",
        "Make the loss accept both.",
        "Zhang et al. 2018, https://arxiv.org/abs/1710.09412",
        clashes.own_loss_of_mixed,
    ),
    Rule(
        "flip-of-left-and-right",
        "warning",
        "Mirrored images, and classes named after sides",
        "A mirrored left hand looks like a right one but keeps the label of a left one.",
        "Leave flips out, and use `kertl.data.check_augmentation`.",
        "Shorten & Khoshgoftaar 2019, https://doi.org/10.1186/s40537-019-0197-0",
        clashes.mirrored_sides,
    ),
    Rule(
        "decay-twice",
        "warning",
        "Weight decay, and a penalty (L2, L2-SP) on the same weights",
        "Both pull by different rules, and towards zero or towards the pretrained weights.",
        "Keep one: weight_decay=0 beside L2 or L2-SP.",
        "Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101",
        clashes.decay_twice,
    ),
    Rule(
        "everything-on-few-images",
        "warning",
        f"A whole backbone of {MANY_PARAMETERS:,} parameters or more, and fewer than {FEW_IMAGES:,} images",
        "It fits peculiarities of these images, and loses what it knew.",
        "Train a part of it, or keep it near its start with l2_sp.",
        "Kumar et al. 2022, https://arxiv.org/abs/2202.10054",
        clashes.everything_on_few,
    ),
    Rule(
        "small-validation",
        "warning",
        f"A validation set on which an accuracy of {SURE:.0%} is uncertain by more than ±{WIDE:.0%}, or none",
        "Settings that differ by less cannot be distinguished there.",
        "Give it more images, or use `kertl.cross_validate`.",
        "Normal approximation of the binomial interval",
        clashes.small_validation,
    ),
    Rule(
        "held-out-images-seen",
        "warning",
        "A model that has been trained on images that are held out now (with another split, or by `refit`)",
        "It does better on them than on new ones, so they neither choose well nor tell how well it does.",
        "Keep the split (seed, `split_column`), or begin with a model that has not seen them.",
        "Kaufman et al. 2012, https://doi.org/10.1145/2382577.2382579",
        clashes.held_out_seen,
    ),
    Rule(
        "rate-far-from-range-test",
        "warning",
        "A learning rate above 10 times, or under a thirtieth, of what the range test suggests",
        "It diverges, or hardly moves.",
        "Use the suggestion, or learning_rate='auto'.",
        "Smith 2017, https://arxiv.org/abs/1506.01186",
        clashes.far_rate,
    ),
    Rule(
        "size-far-from-pretraining",
        "warning",
        "Images less than half, or more than twice, the size of pretraining, if the weights are not random",
        "Filters recognise things at the size at which they learnt them.",
        "Choose a size nearer to it, or train more of the backbone.",
        "Touvron et al. 2019, https://arxiv.org/abs/1906.06423",
        clashes.far_size,
    ),
    Rule(
        "other-pixels-than-in-training",
        "warning",
        "Values in front of the first BatchNorm over 10 times as wide or narrow as in the training of the network",
        "The network may have been trained on pixels of another range (right ones were 0.4 to 1.7 times as wide, those "
        "of 0..255 instead of 0..1 over 50 times), or too few steps for its BatchNorm to learn the statistics.",
        "If it is the range, load the backbone with `preprocessing=` as it was trained: 'none' (0..255), 'unit' (0..1) "
        "or 'tf' (-1..1).",
        "benchmarks/foreign_models.py --pixels",
        clashes.other_pixels,
    ),
    Rule(
        "average-on-replicas",
        "error",
        "An average of the weights, and several replicas",
        "Keras' optimizers cannot keep it under a `tf.distribute` strategy.",
        "Take ema=0, or one device.",
        "measured with Keras 3.15",
        clashes.average_on_replicas,
    ),
    Rule(
        "uneven-batches-on-replicas",
        "warning",
        "A batch that does not divide evenly over the replicas",
        "The mean of each replica counts alike, so images of smaller shares count more.",
        "Choose a batch size that the number of replicas divides, and that leaves no such rest.",
        "measured with TensorFlow 2.21",
        clashes.uneven_last_batch,
    ),
    Rule(
        "replica-without-images",
        "error",
        "A last batch that leaves a replica without images",
        "TensorFlow fails on an empty share, in the evaluation after the training too.",
        "Choose a batch size that leaves no such rest, for all parts.",
        "measured with TensorFlow 2.21",
        clashes.replica_without_images,
    ),
    Rule(
        "unequal-shares",
        "error",
        "A batch that the devices of JAX cannot share equally",
        "JAX refuses it, of the test set after the training.",
        "Choose a batch size that leaves no such rest, for all parts, leave out images, or take one device.",
        "measured with JAX 0.10",
        clashes.unequal_shares,
    ),
    Rule(
        "statistics-per-replica",
        "warning",
        "BatchNorm of a backbone that trains, and several replicas",
        "Each replica normalises by its own share of the batch.",
        "Take batch_norm='frozen', or give each replica a larger batch.",
        "https://keras.io/api/layers/normalization_layers/batch_normalization",
        clashes.statistics_per_replica,
    ),
    Rule(
        "last-stage-at-another-size",
        "warning",
        "A last stage at another size than the model's",
        "The model predicts at its own size, which it was not trained on last.",
        "End with a stage without image_size.",
        "Touvron et al. 2019, https://arxiv.org/abs/1906.06423",
        clashes.other_last_size,
    ),
)
