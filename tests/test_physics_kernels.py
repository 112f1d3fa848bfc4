"""The bare kernels: compiled equal to uncompiled, and their corners against mpmath."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import stats

from qtaml_codesign.errors import InputError
from qtaml_codesign.physics import kernels
from qtaml_codesign.physics.escape import check_tail
from tests.physics_oracle import relative

CELLS = [(1.0, 0.0), (50.0, 4.0), (50.0, 49.0), (604.0, 301.0), (20000.0, 6000.0)]
ACTIONS = [1e-6, 0.3, 2.0, 17.0, 19.975, 30.0, 60.0, 900.0]


@pytest.mark.parametrize("tail", [kernels.BINOMIAL, kernels.POISSON, kernels.LEADING])
def test_uncompiled_chain_is_the_same(tail: int, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = np.array(ACTIONS)
    compiled = np.empty((len(CELLS), 4, actions.size))
    plain = np.empty_like(compiled)
    for place, (n, k) in enumerate(CELLS):
        kernels.flip_chain(actions, 2.4e7, n, k, tail, compiled[place])
    for name in ("log1mexp", "log_escape", "stirling_error", "deviance", "log_choose", "log_binomial_mass",
                 "log_binomial_tail", "log_poisson_mass", "log_poisson_tail"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    for place, (n, k) in enumerate(CELLS):
        kernels.flip_chain.py_func(actions, 2.4e7, n, k, tail, plain[place])
    np.testing.assert_allclose(plain, compiled, rtol=1e-12, atol=0.0)
    assert np.all(np.isfinite(compiled[:, 0]))


@pytest.mark.parametrize("x", [-1e-300, -1e-20, -0.1, -0.6931, -0.6932, -3.0, -40.0, -700.0])
def test_log1mexp(x: float) -> None:
    with mp.workdps(400):
        truth = mp.log(-mp.expm1(mpf(x)))
        assert relative(kernels.log1mexp(x), truth) <= 4e-16
    assert kernels.log1mexp(0.0) == -math.inf


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 100, 100_000])
def test_stirling_error(n: int) -> None:
    truth = mp.loggamma(n + 1) - (mp.log(2 * mp.pi * n) / 2 + n * mp.log(n) - n) if n else mpf(0)
    assert relative(kernels.stirling_error(float(n)), truth) <= 2e-15


@pytest.mark.parametrize(("n", "j"), [(5, 2), (50, 5), (1000, 500), (85800, 25740), (10**9, 3), (7, 7), (7, 0)])
def test_log_choose(n: int, j: int) -> None:
    truth = mp.loggamma(n + 1) - mp.loggamma(j + 1) - mp.loggamma(n - j + 1)
    with mp.workdps(60):
        assert abs(kernels.log_choose(float(n), float(j)) - float(truth)) <= 4e-15 * max(1.0, float(truth))


@pytest.mark.parametrize(("x", "mean"), [(5.0, 5.0000001), (1e5, 99_000.0), (3.0, 1e-200), (0.0, 2.5), (7.0, 400.0)])
def test_deviance(x: float, mean: float) -> None:
    truth = mpf(x) * mp.log(mpf(x) / mpf(mean)) + mpf(mean) - mpf(x) if x else mpf(mean)
    assert relative(kernels.deviance(x, mean), truth) <= 1e-14


def test_tails_sum_to_one() -> None:
    for (n, k), action in itertools.product(CELLS, ACTIONS):
        log_p, log_q = kernels.log_escape(action, 2.4e7)
        above, below = kernels.log_binomial_tail(n, k, log_p, log_q)
        assert math.exp(above) + math.exp(below) == pytest.approx(1.0, rel=1e-14)


def test_poisson_tail_agrees_with_scipy() -> None:
    for k, mean in itertools.product([0, 3, 40, 900], [1e-12, 0.3, 4.0, 41.0, 950.0]):
        above, below = kernels.log_poisson_tail(float(k), math.log(mean))
        upper, lower = stats.poisson.sf(k, mean), stats.poisson.cdf(k, mean)
        if upper > 1e-290:
            assert math.exp(above) == pytest.approx(upper, rel=1e-10)
        if lower > 1e-290:
            assert math.exp(below) == pytest.approx(lower, rel=1e-10)


def test_poisson_mass_deep_in_the_tail() -> None:
    truth = 500 * mpf(-650) - mp.exp(mpf(-650)) - mp.loggamma(501)
    assert relative(kernels.log_poisson_mass(500.0, -650.0), truth) <= 1e-15


def test_escape_never_underflows() -> None:
    assert kernels.log_escape(5000.0, 1e6)[0] == pytest.approx(math.log(1e6) - 5000.0, rel=1e-15)
    assert kernels.log_escape(1e-9, 1e6) == pytest.approx((0.0, -1e6 * math.log(1e9)), rel=1e-9)


def test_unknown_tail_is_named() -> None:
    with pytest.raises(InputError, match="did you mean binomial"):
        check_tail("binomal")
