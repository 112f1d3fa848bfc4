"""Ideal protection, its overhead, and the Shannon bound against 60-digit arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from qtaml_codesign.ecc import limits
from qtaml_codesign.errors import InputError

RATES = [0.0, 1e-300, 1e-12, 1e-4, 0.01, 0.1, 0.24, 0.26, 0.4, 0.49, 0.4999, 0.5 - 1e-9, 0.5, 0.6, 0.9]
RATES += [1.0 - 2.0**-53, 1.0]


def exact_entropy(rate):
    p = mpmath.mpf(rate)
    return -sum((x * mpmath.log(x, 2) for x in (p, 1 - p) if x > 0), mpmath.mpf(0))


@pytest.mark.parametrize("rate", RATES)
def test_entropy_capacity_and_extra_cells_agree_with_60_digits(rate):
    with mpmath.workdps(400):
        entropy = exact_entropy(rate)
        free = 1 - entropy
        extra = 1 / free - 1 if free > 0 else mpmath.inf
        expected = [float(entropy), float(free), float(extra)]
    found = [limits.binary_entropy(rate), limits.capacity(rate), limits.extra_cells_per_protected_bit(rate)]
    np.testing.assert_allclose([float(x) for x in found], expected, rtol=2e-14, atol=0)


def test_the_figures_of_the_paper():
    assert float(limits.capacity(0.10)) == pytest.approx(0.531, abs=5e-4)
    assert float(limits.extra_cells_per_protected_bit(0.10)) == pytest.approx(0.883, abs=5e-4)


@pytest.mark.parametrize("rate", RATES)
def test_one_way_flips_have_the_capacity_of_the_z_channel(rate):
    """Against the mutual information at its best input, by 60 digits: C = max_q H2(q (1-p)) - q H2(p)."""
    with mpmath.workdps(400):
        p = mpmath.mpf(rate)
        use = 1 / ((1 - p) * (1 + mpmath.mpf(2) ** (exact_entropy(rate) / (1 - p)))) if rate < 1 else mpmath.mpf(0)
        free = exact_entropy(use * (1 - p)) - use * exact_entropy(rate)
        expected = [float(free), float(1 / free - 1) if free > 0 else np.inf]
    found = [limits.capacity_under_charge_loss(rate), limits.extra_cells_under_charge_loss(rate)]
    np.testing.assert_allclose([float(x) for x in found], expected, rtol=2e-14, atol=0)


def test_arrays_keep_their_shape():
    grid = np.linspace(0, 1, 12).reshape(3, 4)
    for function in (limits.binary_entropy, limits.capacity, limits.extra_cells_per_protected_bit):
        assert function(grid).shape == (3, 4)
        np.testing.assert_allclose(function(grid), function(1 - grid), rtol=1e-10)


@pytest.mark.parametrize("rate", [-1e-9, 1.1, np.nan, [0.1, 2.0]])
def test_rates_outside_the_unit_interval_are_refused(rate):
    with pytest.raises(InputError, match="next:"):
        limits.capacity(rate)
