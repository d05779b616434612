"""Compiling what a recipe trains for a TPU that need not be there: that it compiles, and what the compiler says.

libtpu, the extra `tpu-compile`, compiles for TPU topologies on any x86 Linux machine. Nothing is run.
"""

from kertl.tpu._lower import compile_here
from kertl.tpu._process import compile_for_tpu
from kertl.tpu._result import Compilation, CompiledStage

__all__ = ["Compilation", "CompiledStage", "compile_for_tpu", "compile_here"]
