"""What a type checker says about code that uses kertl; `test_types.py` runs one on this file.

`# error: <code>` marks the lines that must be errors, `# reveals: <text>` says what a line must reveal.
"""

from typing import reveal_type

import kertl


def revealed() -> None:
    reveal_type(kertl.Stage)  # reveals: kertl.recipe._stage.Stage
    reveal_type(kertl.Stage("deep").epochs)  # reveals: "int"
    reveal_type(kertl.Recipe.from_json("{}").stages)  # reveals: kertl.recipe._stage.Stage
    reveal_type(kertl.diagnose)  # reveals: Diagnosis
    reveal_type(kertl.cross_validate)  # reveals: CrossValidation
    reveal_type(kertl.data.from_directory)  # reveals: ImageData
    reveal_type(kertl.studies.LearningCurve)  # reveals: LearningCurve


def wrong() -> None:
    kertl.Stage("deep", epoch=5)  # error: call-arg
    kertl.Stage("deep", epochs="five")  # error: arg-type
    print(kertl.does_not_exist)  # error: attr-defined
    print(kertl.studies.does_not_exist)  # error: attr-defined
