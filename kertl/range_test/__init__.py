"""The learning-rate range test: at which rates does this model learn from these data?"""

from kertl.range_test._callback import LRRangeTest
from kertl.range_test._result import Curve, RangeTest
from kertl.range_test._run import lr_range_test
from kertl.range_test._stage import stage_range_test, suggested_rate

__all__ = ["Curve", "LRRangeTest", "RangeTest", "lr_range_test", "stage_range_test", "suggested_rate"]
