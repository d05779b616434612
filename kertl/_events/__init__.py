"""TensorBoard's event files, written without TensorFlow, so that they are the same on every backend.

EventFile       scalars, text, pictures, curves and graphs, appended to a file
graph_of        a graph of groups of layers
precision_recall  what TensorBoard's plugin draws a precision-recall curve from
session_start, session_end   the hyperparameters of a training, and how it ended
"""

from kertl._events._curves import THRESHOLDS, precision_recall
from kertl._events._graph import graph_of
from kertl._events._hparams import session_end, session_start
from kertl._events._writer import EventFile

__all__ = ["THRESHOLDS", "EventFile", "graph_of", "precision_recall", "session_end", "session_start"]
