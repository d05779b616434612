"""Losses without labels of the target: how far features of two domains are apart, and how unsure predictions are."""

from typing import Any

import keras

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_LEAST = 1e-7


def coral_loss(a: Any, b: Any) -> Any:
    """`|cov(a) - cov(b)|² / (4 d²)` of two batches of features: the loss of Deep CORAL, a scalar.

    Args:
        a: Features of the source, shape `(n, d)`; n > 1.
        b: Of the target, shape `(m, d)`; m > 1.

    Example:
        >>> import numpy as np
        >>> from kertl.training import coral_loss
        >>> a = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 8.0]], "float32")
        >>> float(coral_loss(a, a + 5)) < 1e-9, float(coral_loss(a, 2 * a)) > 1
        (True, True)

    Reference:
        Sun & Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", 2016.
        https://arxiv.org/abs/1607.01719
    """
    width = a.shape[-1]
    return keras.ops.sum(keras.ops.square(_covariance(a) - _covariance(b))) / (4.0 * width**2)


def mmd_loss(a: Any, b: Any) -> Any:
    """The squared maximum mean discrepancy of two batches of features, a scalar >= 0 but for rounding.

    The kernel is the mean of five Gaussian ones, `exp(-|x - y|² / (s h))` with s from 1/4 to 4, where h is the mean
    squared distance of all pairs of both batches, through which no gradient goes.

    Args:
        a: Features of the source, shape `(n, d)`.
        b: Of the target, shape `(m, d)`.

    Example:
        >>> import numpy as np
        >>> from kertl.training import mmd_loss
        >>> a = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 8.0]], "float32")
        >>> abs(float(mmd_loss(a, a))) < 1e-6, float(mmd_loss(a, a + 5)) > 0.1
        (True, True)

    References:
        Gretton et al., "A Kernel Two-Sample Test", 2012, equation 5. https://jmlr.org/papers/v13/gretton12a.html
        Long et al., "Learning Transferable Features with Deep Adaptation Networks", 2015, for several kernels.
            https://arxiv.org/abs/1502.02791
    """
    within_a, within_b, across = _squares(a, a), _squares(b, b), _squares(a, b)
    n, m = (keras.ops.cast(keras.ops.shape(rows)[0], a.dtype) for rows in (a, b))
    total = keras.ops.sum(within_a) + keras.ops.sum(within_b) + 2 * keras.ops.sum(across)
    usual = keras.ops.stop_gradient(keras.ops.maximum(total / (n + m) ** 2, _LEAST))

    def mean(squares: Any) -> Any:
        kernels = [keras.ops.exp(-squares / (share * usual)) for share in _BANDWIDTHS]
        return keras.ops.mean(sum(kernels[1:], kernels[0])) / len(kernels)

    return mean(within_a) + mean(within_b) - 2 * mean(across)


@keras.saving.register_keras_serializable(package="kertl")
def entropy_loss(truth: Any, predictions: Any) -> Any:
    """The entropy of each prediction, whatever the truth, shape `(n,)`: the loss of Tent.

    Args:
        truth: Not used; a loss of Keras takes it.
        predictions: Probabilities, shape `(n, classes)`, or `(n, 1)` of the second of two classes.

    Reference:
        Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", 2021. https://arxiv.org/abs/2006.10726
    """
    if predictions.shape[-1] == 1:
        predictions = keras.ops.concatenate([1 - predictions, predictions], axis=-1)
    return -keras.ops.sum(predictions * keras.ops.log(keras.ops.maximum(predictions, _LEAST)), axis=-1)


def _covariance(rows: Any) -> Any:
    count = keras.ops.cast(keras.ops.shape(rows)[0], rows.dtype)
    centred = rows - keras.ops.mean(rows, axis=0, keepdims=True)
    return keras.ops.matmul(keras.ops.transpose(centred), centred) / (count - 1)


def _squares(a: Any, b: Any) -> Any:
    """Squared distances of all pairs of rows, shape `(n, m)`."""
    norms = [keras.ops.sum(keras.ops.square(rows), axis=-1) for rows in (a, b)]
    products = keras.ops.matmul(a, keras.ops.transpose(b))
    return keras.ops.maximum(norms[0][:, None] + norms[1][None, :] - 2 * products, 0)
