"""What runs on the backend that KERAS_BACKEND names, where TensorFlow cannot be imported: `python -m tests.backends`.

A line for each thing, with what is raised. It is done with a few small images, and judged by whether it comes to its
end; whether it is right is what tests are for. Names after the command do only these.
"""

import logging
import sys
import tempfile
from pathlib import Path

from tests.without_tensorflow import pytest_load_initial_conftests


def main():
    pytest_load_initial_conftests()
    logging.disable(logging.WARNING)
    import keras

    import kertl

    print(keras.backend.backend(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, act in things(kertl, Path(folder)).items():
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            try:
                act()
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}", flush=True)
            else:
                print(f"{name}: runs", flush=True)


def things(kertl, folder):
    """Name and what is called."""
    from tests.hardware.several import still
    from tests.runs import classifier, quick, recipe, squares, tiny
    from tests.search.test_tune import search

    data = squares()

    def trained(*stages, model=None, **options):
        return kertl.fine_tune(model or tiny(), data, recipe=recipe(*stages), verbose=0, **options)

    def exported(form):
        return lambda: kertl.export(tiny(), folder / f"model.{form}", format=form)

    return {
        "data": lambda: [data.train.batch(0, 0), data.summary()],
        "to_tf_dataset": data.train.to_tf_dataset,
        "extract": lambda: kertl.extract(tiny(), data.train, at="deep"),
        "baselines": lambda: kertl.baselines(tiny(), data),
        "lr_range_test": lambda: kertl.lr_range_test(tiny(), data.train),
        "stage deep, cached": lambda: trained(quick(cache=True)),
        "stage deep, exact": lambda: trained(kertl.Stage("deep", solver="exact")),
        "stage mid, augmented": lambda: trained(quick("mid", augment="strong")),
        "stage full, AdamW with layer decay": lambda: trained(quick("full", layer_decay=0.8)),
        "MixUp": lambda: trained(quick("mid", mixup=0.2)),
        "EMA": lambda: trained(quick("mid", ema=0.9)),
        "L2-SP": lambda: trained(quick("mid", l2_sp=0.01, weight_decay=0.0)),
        "gradient checkpointing": lambda: trained(
            quick("mid", gradient_checkpointing=True), model=classifier(1, still, dropout=0.0)
        ),
        "training for 8 bits": lambda: trained(quick(), quick("full", quantize="int8", epochs=2)),
        "bfloat16": lambda: kertl.fine_tune(
            tiny(), data, recipe=recipe(quick("mid"), precision="mixed_bfloat16"), verbose=0
        ),
        "run directory, and read again": lambda: [
            trained(quick("mid"), run_dir=folder / "run"),
            kertl.load(folder / "run"),
        ],
        "predict, evaluate": lambda: [kertl.predict(tiny(), data.test), kertl.evaluate(tiny(), data)],
        "interpret": lambda: kertl.interpret(tiny(), data, part="test"),
        "cross_validate": lambda: kertl.cross_validate(tiny(), data, folds=2, recipe=quick()),
        "search": lambda: search(data, folder / "search", max_trials=2),
        "save, load": lambda: [kertl.save(tiny(), folder / "m.keras"), kertl.load(folder / "m.keras")],
        **{f"export {form}": exported(form) for form in ("saved_model", "litert", "onnx", "openvino", "tfjs")},
    }


if __name__ == "__main__":
    main()
