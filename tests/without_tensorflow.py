"""A plugin of pytest, `-p tests.without_tensorflow`: TensorFlow cannot be imported, as if it were not there."""

import importlib.machinery
import sys


class WithoutTensorFlow(importlib.machinery.PathFinder):
    """Python's own finder of modules, which finds everything else."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "tensorflow" else super().find_spec(name, path, target)


def pytest_load_initial_conftests():
    """Hide it; called only where this file is a plugin, and before anything imports Keras."""
    sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutTensorFlow
