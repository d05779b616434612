"""A chain with other layers in it: copies that train apart from the original, or another head."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras

from kertl._checks import complain
from kertl.groups._chain import Chain
from kertl.groups._cuts import Cut
from kertl.groups._graph import Ref, Step, flatten, replay


def copied(chain: Chain, first: int, *, head_seed: int | None = None, ending: str = "") -> Chain:
    """The same chain with new layers from group `first` on; the layers before it are shared.

    Args:
        chain: The original, which is not changed.
        first: Number of the first group that is copied; 0 copies all of them.
        head_seed: None gives the copies the weights of the original. A number draws the weights of the head anew, as
            `kertl.build` does after `keras.utils.set_random_seed(head_seed)` on a backbone that is already loaded.
        ending: Added to the names of the copies, so that they can be in one model with the originals.

    Raises:
        ValueError: If a layer cannot be made again from its settings.
    """
    end = len(chain.backbone_groups) if head_seed is not None else len(chain.groups)
    steps, stop = chain.steps(first, len(chain.groups)), len(chain.groups)
    with drawing_from(0):
        made = _made(chain.steps(min(first, end), end), ending)
    with drawing_from(head_seed or 0):
        made |= _made(chain.steps(max(first, end), stop), ending)
    new = [replace(step, operation=made.get(id(step.operation), step.operation)) for step in steps]
    entering = {ref: keras.Input(chain.graph.shapes[ref]) for ref in chain.crossing(first)}
    replay(new, entering, [chain.graph.output])  # which builds them
    for layer in chain.layers(first, end):
        made[id(layer)].set_weights(layer.get_weights())
    groups = [
        replace(group, layers=tuple(made.get(id(layer), layer) for layer in group.layers)) if place >= first else group
        for place, group in enumerate(chain.groups)
    ]
    kept = chain.steps(0, first)
    return replace(chain, graph=replace(chain.graph, steps=(*kept, *new)), groups=tuple(groups))


def with_other_head(chain: Chain, head: keras.Model) -> Chain:
    """The same backbone, its layers shared, with another head.

    Args:
        chain: A chain with a head.
        head: A functional model of what crosses the boundary before the head.
    """
    end = len(chain.backbone_groups)
    (entering,) = chain.crossing(end)
    graph, offset = flatten(head), 1 + max(ref.number for ref in chain.graph.shapes)
    named = {ref: entering if ref == graph.input else Ref(ref.number + offset) for ref in graph.shapes}

    def renamed(step: Step) -> Step:
        args, kwargs, outputs = keras.tree.map_structure(
            lambda leaf: named[leaf] if isinstance(leaf, Ref) else leaf, (step.args, step.kwargs, step.outputs)
        )
        return Step(step.operation, args, kwargs, outputs)

    steps = (*chain.steps(0, end), *map(renamed, graph.steps))
    output = named[graph.output]
    shapes = {**chain.graph.shapes, **{named[ref]: shape for ref, shape in graph.shapes.items() if ref != graph.input}}
    layers = tuple({id(step.operation): step.operation for step in graph.steps}.values())
    last = replace(
        chain.groups[end], layers=layers, output_shape=graph.shapes[graph.output], parameters=head.count_params()
    )
    return replace(
        chain,
        graph=replace(chain.graph, steps=steps, output=output, shapes=shapes),
        ends=(*chain.ends[:end], Cut(len(steps), (output,))),
        groups=(*chain.groups[:end], last),
    )


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let new layers draw their weights as after `keras.utils.set_random_seed(seed)`.

    Keras draws the seeds of initialisers from Python's generator, whose state is restored afterwards.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _made(steps: Sequence[Step], ending: str = "") -> dict[int, Any]:
    """A new layer for each layer of the steps, by the `id` of the original."""
    found: dict[int, Any] = {}
    for step in steps:
        layer = step.operation
        if isinstance(layer, keras.layers.Layer) and id(layer) not in found:
            try:
                found[id(layer)] = type(layer).from_config({**layer.get_config(), "name": layer.name + ending})
            except (NotImplementedError, TypeError, ValueError) as error:
                advice = f"Its class needs `get_config` and `from_config` ({error})."
                raise complain("model", "made of layers that can be copied", layer.name, advice) from error
    return found
