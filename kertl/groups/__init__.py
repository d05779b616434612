"""Layer groups: any functional Keras model seen as a chain that can be cut at a boundary.

layer_groups     the groups of a model, from the input to the features (and the head)
find_chain       the same with the graph they were found in, for code that cuts it
features_of      a trained classifier without its classifier
activation_of    the name of the activation of a layer or operation
ends_in          whether a model gives probabilities or scores
flatten          a model as one flat list of steps
replay           steps of a flat graph called again on other tensors
depths_of        the widest activation of some groups, for a head that sees several depths
with_tensors     an input, and tensors of a chain computed from it
copied           a chain with new layers from a group on, which train apart from the original
maps_before_head  the feature maps that a head looks at
with_other_head  a chain with another head on the same backbone
drawing_from     layers made inside it draw their weights from a seed
"""

import keras

from kertl.groups._chain import Chain, LayerGroup, features_of, find_chain
from kertl.groups._classifier import activation_of, ends_in
from kertl.groups._copies import copied, drawing_from, with_other_head
from kertl.groups._depths import depths_of, with_tensors
from kertl.groups._graph import Ref, Step, flatten, functional_of, replay
from kertl.groups._taps import maps_before_head

__all__ = [
    "Chain",
    "LayerGroup",
    "Ref",
    "Step",
    "activation_of",
    "copied",
    "depths_of",
    "drawing_from",
    "ends_in",
    "features_of",
    "find_chain",
    "flatten",
    "functional_of",
    "layer_groups",
    "maps_before_head",
    "replay",
    "with_other_head",
    "with_tensors",
]


def layer_groups(model: keras.Model) -> tuple[LayerGroup, ...]:
    """The layer groups of a model, in the order in which they run.

    Groups are found in the graph, looking into nested functional models. Between two groups one tensor alone crosses
    (two in NASNet, whose cells read the two cells before). Input, preprocessing and padding belong to the group that
    they feed; pooling without weights to the group before it; every variable of the model to exactly one group. What
    follows the pooling of a classifier is its last group, "head".

    Args:
        model: A functional or sequential model with one input and one output, such as a backbone or a classifier.

    Raises:
        TypeError: If `model` has no graph to look into (a subclassed model, or a sequential one not yet built).
        ValueError: If `model` has several inputs or outputs, or computes with channels first.

    Example:
        >>> import keras, kertl
        >>> backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> for group in kertl.layer_groups(backbone):
        ...     print(group.name, group.output_shape, group.stride, group.parameters, group.boundary)
        block1 (32, 32, 64) 2 38720 main
        block2 (16, 16, 128) 4 221440 main
        block3 (8, 8, 256) 8 1475328 main
        block4 (4, 4, 512) 16 5899776 main
        block5 (2, 2, 512) 32 7079424 main
    """
    return find_chain(model).groups
