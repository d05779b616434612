"""Vanishing and exploding gradients by layer group."""

from collections.abc import Mapping

import numpy as np

VANISHING, EXPLODING = 1e-5, 1e3
"""Shares and norms beyond which gradients vanish or explode."""


class GradientHealth:
    """Says once for each layer group that its gradients vanish or explode.

    A gradient explodes if its norm is above 1000, or is no number. It vanishes if, in two measurements one after the
    other, its root mean square is below 1e-5 of that of the group where it is largest: with one optimizer step for
    all, such a group learns nothing while the others do.

    Args:
        sizes: How many weights train in each group.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._told: set[tuple[str, str]] = set()
        self._faint: set[str] = set()

    def findings(self, norms: Mapping[str, float]) -> list[str]:
        """What is new in a measurement: a sentence for each group.

        Args:
            norms: The norm of the gradient of each group.
        """
        means = {name: norm / np.sqrt(self._sizes[name]) for name, norm in norms.items()}
        largest = max((mean for mean in means.values() if np.isfinite(mean)), default=0.0)
        faint = {name for name, mean in means.items() if mean < VANISHING * largest}
        twice, self._faint = faint & self._faint, faint
        found = []
        for name, norm in norms.items():
            if not norm <= EXPLODING:
                found.append((name, f"explodes (norm {norm:.3g})", "Lower the learning rate, or clip gradients."))
            elif name in twice:
                share = means[name] / largest
                found.append(
                    (name, f"vanishes ({share:.1g} of the largest group's, per weight)", "It learns next to nothing.")
                )
        new = [one for one in found if (one[0], one[1].split()[0]) not in self._told]
        self._told |= {(name, what.split()[0]) for name, what, _ in new}
        return [f"The gradient of layer group {name!r} {what}. {advice}" for name, what, advice in new]
