import numpy as np
import pytest

from kertl.studies import PowerLaw

COUNTS = [25, 50, 100, 200, 400, 800]


@pytest.mark.parametrize(("floor", "scale", "exponent"), [(0.1, 0.8, 0.5), (0.0, 2.0, 0.75), (0.05, 0.6, 0.2)])
def test_a_law_is_found_again_from_its_own_errors(floor, scale, exponent):
    errors = [floor + scale / count**exponent for count in COUNTS]
    law = PowerLaw.fitted(COUNTS, errors)
    assert law(3200) == pytest.approx(floor + scale / 3200**exponent, abs=0.004)
    assert [law(count) for count in COUNTS] == pytest.approx(errors, abs=0.002)
    assert law.exponent == pytest.approx(exponent, abs=0.03)


def test_no_law_on_a_fine_grid_is_nearer():
    errors = np.array([0.42, 0.35, 0.36, 0.28, 0.27, 0.25])
    law = PowerLaw.fitted(COUNTS, errors)
    found = sum((law(count) - error) ** 2 for count, error in zip(COUNTS, errors, strict=True))
    grid = np.stack(np.meshgrid(np.linspace(0, 0.4, 41), np.linspace(0, 4, 81), np.linspace(0.05, 1.5, 30)), axis=-1)
    floors, scales, exponents = grid.reshape(-1, 3).T
    laws = floors[:, None] + scales[:, None] * np.array(COUNTS)[None, :] ** -exponents[:, None]
    assert found <= ((laws - errors) ** 2).sum(axis=1).min() + 1e-9


def test_errors_that_do_not_fall_have_a_flat_law_and_none_goes_below_zero():
    rising = PowerLaw.fitted(COUNTS, [0.2, 0.21, 0.22, 0.23, 0.24, 0.25])
    assert (rising.scale, rising.floor) == (0.0, pytest.approx(0.225))
    steep = PowerLaw.fitted(COUNTS, [0.5, 0.3, 0.1, 0.01, 0.0, 0.0])
    assert steep.floor >= 0
    assert steep(10**6) >= 0
