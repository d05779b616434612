import pytest

from tests.runs import python

EXTRAS = ("matplotlib", "pandas", "sklearn")


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_starts_without_what_it_only_looks_for_and_computes_all_the_same(backend):
    printed = python(
        f"""
        import sys
        from kertl.cli._quiet import start_keras
        start_keras()
        import keras, numpy as np
        print([name for name in {EXTRAS} if name in sys.modules], keras.backend.backend())
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
        import matplotlib, sklearn.metrics
        print(sklearn.metrics.accuracy_score([1], [1]), len(matplotlib.__version__) > 0)
        """,
        KERAS_BACKEND=backend,
    )
    assert printed.split() == ["[]", backend, "1.0", "True"]


def test_a_backend_from_keras_own_file_is_found(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = "from kertl.cli._quiet import start_keras; start_keras(); import keras; print(keras.backend.backend())"
    assert python(code, KERAS_HOME=str(tmp_path), KERAS_BACKEND="").split() == ["jax"]
