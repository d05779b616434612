"""Extraction where memory is scarce: it takes smaller batches by itself, and the features are the same."""

import numpy as np
import pytest
import tensorflow as tf

import kertl
from kertl.features import _job
from tests.families import lively, small_classifier


def pictures(count, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype="uint8")


@pytest.fixture(scope="module")
def model():
    return lively(small_classifier(), pictures(16).astype("float32"))


@pytest.fixture
def fits(monkeypatch):
    """Lets only so many images be computed at once; tells which numbers were tried."""
    tried = []

    def limit(most):
        original = _job.one_pass

        def one_pass(source, rows, engine, batch_size, *arguments, **options):
            tried.append(batch_size)
            if batch_size > most:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return original(source, rows, engine, batch_size, *arguments, **options)

        monkeypatch.setattr(_job, "one_pass", one_pass)
        return tried

    return limit


@pytest.mark.parametrize("on_disk", [False, True])
def test_it_goes_on_with_batches_of_half_the_size(model, fits, tmp_path, caplog, on_disk):
    options = {"engine": "keras", "cache_dir": tmp_path / "cache" if on_disk else None}
    whole = kertl.extract(model, pictures(40), engine="keras").values
    tried = fits(8)
    features = kertl.extract(model, pictures(40), **options)
    assert tried == [32, 16, 8]
    np.testing.assert_allclose(np.asarray(features.values), np.asarray(whole), rtol=1e-5, atol=1e-6)
    said = [record.getMessage() for record in caplog.records if "Memory ran out" in record.getMessage()]
    assert [text.partition(";")[2] for text in said] == [
        f" it goes on with {number}. The last digits of features may depend on it." for number in (16, 8)
    ]


def test_where_not_even_one_image_fits_the_error_is_raised(model, fits):
    tried = fits(0)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        kertl.extract(model, pictures(3), engine="keras")
    assert tried == [32, 16, 8, 4, 2, 1]
