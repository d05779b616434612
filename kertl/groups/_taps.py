"""Pooled features of earlier depths, which pass every later boundary as vectors on their way to the head.

A head that sees many depths joins vectors of maps all along the chain. They would cross every place where the graph
could be cut, so cuts are looked for without them; each then belongs to the group that makes its map.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence, Set

import keras

from kertl.groups._cuts import Cut
from kertl.groups._graph import Graph, Ref, Step


@dataclasses.dataclass(frozen=True)
class Tapped:
    """A graph seen without what leads from earlier depths to the head.

    Attributes:
        graph: The whole graph, in which a map is pooled as soon as it is made.
        main: The graph without the pooling of earlier depths.
        join: The step of `main` that joins the vectors of all depths; the number of steps where none does.
        pooling: That step, and those of `main` that pool the last map for it.
    """

    graph: Graph
    main: Graph
    join: int
    pooling: Set[int]
    _places: tuple[int, ...]
    _vectors: Mapping[int, tuple[Ref, ...]]

    def placed(self, cut: Cut) -> Cut:
        """A cut of `main` as one of `graph`, with the vectors that cross there."""
        if cut.end > self.join:
            return Cut(self._places[cut.end], cut.crossing)
        early = [ref for made in sorted(self._vectors) if made < cut.end for ref in self._vectors[made]]
        return Cut(self._places[cut.end], (*cut.crossing, *early))


def separated(graph: Graph) -> Tapped:
    """The graph with and without the pooling of earlier depths; the same twice where there is none."""
    taps = _taps(graph)
    if taps is None:
        return Tapped(graph, graph, len(graph.steps), frozenset(), tuple(range(len(graph.steps) + 1)), {})
    join, paths, last = taps
    side = {id(step) for source, steps in paths.items() if source != last for step in steps}
    kept = {ref for step in paths[last] for ref in step.outputs}
    joining = dataclasses.replace(join, args=([ref for ref in join.inputs if ref in kept],), kwargs={})
    main = [joining if step is join else step for step in graph.steps if id(step) not in side]
    steps: list[Step] = []
    places, vectors = [0], {}
    for number, step in enumerate(main):
        steps.append(join if step is joining else step)
        for ref in step.outputs:
            if ref in paths and ref != last:
                steps.extend(paths[ref])
                made = {output for one in paths[ref] for output in one.outputs}
                vectors[number] = tuple(ref for ref in join.inputs if ref in made)
        places.append(len(steps))
    return Tapped(
        dataclasses.replace(graph, steps=tuple(steps)),
        dataclasses.replace(graph, steps=tuple(main)),
        main.index(joining),
        {main.index(step) for step in (joining, *paths[last])},
        tuple(places),
        vectors,
    )


def maps_before_head(graph: Graph) -> tuple[Ref, ...]:
    """The feature maps, or tokens, that what follows them sees pooled or flattened, from the input to the end.

    Those of all depths that a head sees; else the last one with more than one place. None if there is none that layers
    with weights have made.
    """
    made = {ref: number for number, step in enumerate(graph.steps) for ref in step.outputs}
    taps = _taps(graph)
    if taps is not None:
        return tuple(sorted(taps[1], key=lambda ref: made[ref]))
    first = next((number for number, step in enumerate(graph.steps) if step.variables), len(graph.steps))
    for rank in (3, 2):
        of_rank = (ref for ref, number in made.items() if number >= first and len(graph.shapes[ref]) == rank)
        maps = [ref for ref in of_rank if math.prod(side or 2 for side in graph.shapes[ref][:-1]) > 1]
        if maps:
            return (maps[-1],)
    return ()


def _taps(graph: Graph) -> tuple[Step, Mapping[Ref, Sequence[Step]], Ref] | None:
    """The step that joins the vectors of several depths, the steps from each map to its vectors, and the last map."""
    joins = [step for step in graph.steps if isinstance(step.operation, keras.layers.Concatenate)]
    if not joins or len(graph.shapes[joins[-1].outputs[0]]) != 1:
        return None
    join = joins[-1]
    producers = {ref: step for step in graph.steps for ref in step.outputs}
    readers: dict[Ref, int] = {}
    for step in graph.steps:
        for ref in step.inputs:
            readers[ref] = readers.get(ref, 0) + 1
    paths: dict[Ref, list[Step]] = {}
    for vector in join.inputs:
        path = list(_back_to_map(graph, producers, vector))
        lonely = all(readers[ref] == 1 for step in path for ref in step.outputs)
        source = path[-1].inputs[0] if path else vector
        if not path or not lonely or len(graph.shapes[source]) < 2:
            return None
        paths.setdefault(source, []).extend(reversed(path))
    made = {ref: number for number, step in enumerate(graph.steps) for ref in step.outputs}
    last = max(paths, key=lambda ref: made.get(ref, -1))
    after = graph.steps[made[join.outputs[0]] + 1 :]
    maps_later = any(len(graph.shapes[ref]) > 1 for step in after for ref in step.outputs if made[ref] > made[last])
    if len(paths) < 2 or not paths.keys() <= _before(producers, last) | {last} or maps_later:
        return None
    return join, paths, last


def _back_to_map(graph: Graph, producers: Mapping[Ref, Step], ref: Ref) -> Iterator[Step]:
    """The steps without weights that lead to a vector, the last of them first."""
    while len(graph.shapes[ref]) == 1 and ref in producers:
        step = producers[ref]
        if step.variables or len(step.inputs) != 1 or len(step.outputs) != 1:
            return
        yield step
        ref = step.inputs[0]


def _before(producers: Mapping[Ref, Step], ref: Ref) -> set[Ref]:
    """All tensors that a tensor is computed from."""
    found: set[Ref] = set()
    waiting = [ref]
    while waiting:
        for given in producers[waiting.pop()].inputs:
            if given not in found and given in producers:
                found.add(given)
                waiting.append(given)
    return found
