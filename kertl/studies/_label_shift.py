"""The shares of classes in another domain, estimated without its labels."""

import numpy as np

_MOST_STEPS = 1000
_SETTLED = 1e-7
_ABOVE = 0.1


def above_chance(accuracy: float, commonest: float) -> bool:
    """Whether a model is right for clearly more images than are of the commonest class, by a tenth of all.

    Args:
        accuracy: Of the model.
        commonest: Share of the commonest class.
    """
    return accuracy >= commonest + _ABOVE


def estimated_shares(probabilities: np.ndarray, source_shares: np.ndarray) -> np.ndarray:
    """The shares of the classes among some images, by the EM algorithm of Saerens, Latinne and Decaestecker.

    It takes for granted that within a class the images look as those that the model was trained on (label shift), and
    that the model's probabilities are calibrated there.

    Args:
        probabilities: The model's, shape `(images, classes)`.
        source_shares: The shares of the classes where the model was trained, shape `(classes,)`; each > 0.

    Returns:
        Shape `(classes,)`, with sum 1.

    Example:
        >>> import numpy as np
        >>> from kertl.studies import estimated_shares
        >>> sure = np.array([[0.999, 0.001]] * 30 + [[0.001, 0.999]] * 10)
        >>> estimated_shares(sure, np.array([0.5, 0.5])).round(2).tolist()
        [0.75, 0.25]

    Reference:
        Saerens, Latinne & Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple
        Procedure", 2002. https://doi.org/10.1162/089976602753284446
    """
    source_shares = source_shares / source_shares.sum()
    shares = source_shares.copy()
    for _ in range(_MOST_STEPS):
        weighted = probabilities * (shares / source_shares)
        now = np.asarray((weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0))
        if np.abs(now - shares).max() < _SETTLED:
            return now
        shares = now
    return shares
