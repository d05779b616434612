"""What TensorBoard's plugin draws a precision-recall curve from."""

import numpy as np

THRESHOLDS = 101
"""Thresholds from 0 to 1 at which predictions are counted."""


def precision_recall(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts at each threshold: true and false positives, true and false negatives, precision and recall.

    Args:
        truth: Whether each example has the class, shape `(examples,)`.
        probabilities: Predicted for it, 0..1, of the same shape; what reaches a threshold is positive.

    Returns:
        Array of shape `(6, THRESHOLDS)`; the precision without any positive is 0, as the plugin has it.
    """
    truth = np.asarray(truth, bool)
    positive = np.asarray(probabilities)[:, None] >= np.linspace(0, 1, THRESHOLDS)
    hits, alarms = (positive & truth[:, None]).sum(axis=0), (positive & ~truth[:, None]).sum(axis=0)
    missed, passed = truth.sum() - hits, (~truth).sum() - alarms
    precision, recall = hits / np.maximum(hits + alarms, 1), hits / max(truth.sum(), 1)
    return np.stack([hits, alarms, passed, missed, precision, recall]).astype(np.float32)
