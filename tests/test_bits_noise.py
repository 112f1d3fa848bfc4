"""Non-uniform flips: exact means, exact marginals, the right correlations, and the named models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import qtaml_codesign as qc
from qtaml_codesign.bits import variation
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.errors import InputError

from .bits_oracles import assert_binomial, slow_is_below, slow_philox

KEY = flip_key(3, "fc.weight")
CODES = np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8)
SIZES = {"conv.weight": 144, "fc[1].weight": 32768, "out.weight": 640}


def rates(down: float, up: float | None = None, **cell_law: Any) -> CellLaw:
    both = [np.full(8, rate) for rate in (down, down if up is None else up)]
    return CellLaw("default", BitFormat(8), *both, **cell_law)


@pytest.mark.parametrize("mean", [1e-6, 1e-3, 0.1, 0.45, 0.9, 0.999])
@pytest.mark.parametrize("spread", [0.01, 0.3, 0.6, 2.0])
def test_the_mean_over_cells_is_exact(mean: float, spread: float) -> None:
    """Oracle: 30-digit quadrature of E[min(1, m exp(s z))]."""
    median = variation.median_rate(mean, spread)
    with mpmath.workdps(30):
        kink = -mpmath.log(median) / spread
        density = lambda z: mpmath.npdf(z) * mpmath.mpf(median) * mpmath.exp(spread * z)  # noqa: E731
        ends = sorted({mpmath.mpf(-12), min(mpmath.mpf(0), kink), min(kink, mpmath.mpf(spread + 12))})
        found = mpmath.quad(density, ends) + mpmath.erfc(kink / mpmath.sqrt(2)) / 2
    assert abs(found / mean - 1) < 1e-12


def test_rates_zero_and_one_stay() -> None:
    assert variation.median_rate(0.0, 0.5) == 0.0
    read = draw_flips(CODES, rates(1.0, 0.0, spread=0.5), 0, KEY, 0)
    np.testing.assert_array_equal(read.codes, 0)
    assert draw_flips(CODES, rates(0.0, spread=0.5), 0, KEY, 0).flipped == 0


def slow_read(errors: CellLaw, depth: int, trial: int, first: int, count: int) -> np.ndarray:
    """A twin in plain Python: u digit by digit, the cell's rate from the quantile of the cell's own number."""
    import hashlib

    digest = hashlib.blake2b(f"cell rates {KEY.words[0]} {KEY.words[1]}".encode(), digest_size=16).digest()
    cell_key = np.frombuffer(digest, dtype="<u8")

    def quantile(index: int, plane: int) -> float:
        """(k + 1/2) / 2^52 from the top bits of the cell's own 64-bit word."""
        key, fold = int(cell_key[0]), int(cell_key[1])
        counter = (index % 2**32, index >> 32 | plane << 16, fold % 2**32, fold >> 32)
        words = slow_philox(counter, (key % 2**32, key >> 32))
        return float(special.ndtri((((words[0] | words[1] << 32) >> 12) + 0.5) / 2**52))

    read = []
    for i in range(first, first + count):
        code = int(CODES[i - first])
        for plane in range(8 - depth):
            rate = float((errors.one_to_zero if CODES[i - first] >> plane & 1 else errors.zero_to_one)[plane])
            if errors.spread and rate:
                median = variation.median_rate(rate, errors.spread)
                rate = min(1.0, median * math.exp(errors.spread * quantile(i, plane)))
            if slow_is_below(rate, 3, "fc.weight", trial, i // errors.block, plane):
                code ^= 1 << plane
        read.append(code)
    return np.array(read, np.uint8)


@pytest.mark.parametrize("cell_law", [{"spread": 0.6}, {"block": 5}, {"spread": 0.3, "block": 16}])
@pytest.mark.parametrize("depth", [0, 3])
def test_flips_are_those_of_a_slow_twin(cell_law: dict[str, Any], depth: int) -> None:
    errors = rates(0.3, 0.1, **cell_law)
    for first in (0, 1003):
        read = draw_flips(CODES[:200], errors, depth, KEY, 7, first_index=first)
        np.testing.assert_array_equal(read.codes, slow_read(errors, depth, 7, first, 200))
        assert read.flipped == int(np.bitwise_count(read.codes ^ CODES[:200]).sum())
        assert read.exposed == 200 * (8 - depth)


def test_a_tensor_can_be_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = rates(0.2, spread=0.5, block=3)
    whole = draw_flips(CODES, errors, 0, KEY, 1).codes
    pieces = [draw_flips(CODES[start:start + 1000], errors, 0, KEY, 1, first_index=start).codes
              for start in range(0, 4096, 1000)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    monkeypatch.setattr(variation, "PIECE", 100)
    np.testing.assert_array_equal(whole, draw_flips(CODES, errors, 0, KEY, 1).codes)


def test_plain_cells_are_the_limit_of_no_spread_and_blocks_of_one() -> None:
    plain = draw_flips(CODES, rates(0.2), 1, KEY, 0).codes
    read = np.empty_like(CODES)
    variation.flip_cells(CODES, rates(0.2).protect(1), np.array(KEY.words, np.uint64), 0, 0, read)
    np.testing.assert_array_equal(plain, read)
    almost = draw_flips(CODES, rates(0.2, spread=1e-12), 1, KEY, 0).codes
    np.testing.assert_array_equal(plain, almost)


def test_flips_nest_in_the_rate() -> None:
    few, many = (draw_flips(CODES, rates(rate, spread=0.6, block=2), 0, KEY, 0).codes ^ CODES for rate in (0.05, 0.2))
    assert not (few & ~many).any()
    assert few.any()


def test_over_chips_every_cell_keeps_the_mean_rate() -> None:
    """Exact binomial test: cells of different chips are independent, so their flips in one reading are Bernoulli(p).

    False-failure rate 2 ALPHA; 4096 x 8 x 40 cells, an excess of 1.3 % of the rate would be seen.
    """
    errors, codes = rates(0.1, spread=0.6), np.zeros(4096, np.uint8)
    reads = [draw_flips(codes, errors, 0, flip_key(seed, "w"), 0) for seed in range(40)]
    assert_binomial(sum(read.flipped for read in reads), 40 * 4096 * 8, 0.1, "cells over chips")
    high = sum(int(read.flips_by_plane[7]) for read in reads)
    assert_binomial(high, 40 * 4096, 0.1, "MSB over chips")


def test_one_chip_keeps_its_weak_cells() -> None:
    """Variance over cells of the flips in T trials: T p q + T (T - 1) Var(r), Var(r) = p^2 (exp(s^2) - 1) uncapped.

    The sum of squares of 32768 cells: its standard error is taken from the sample; 7 of them make 1e-11 (normal).
    """
    trials, mean, spread = 50, 0.05, 0.5
    codes, errors = np.zeros(4096, np.uint8), rates(mean, spread=spread)
    reads = [draw_flips(codes, errors, 0, KEY, trial).codes for trial in range(trials)]
    counts = np.sum([np.unpackbits(read[:, None], axis=1) for read in reads], axis=0).ravel().astype(float)
    squares = (counts - trials * mean) ** 2
    expected = trials * mean * (1 - mean) + trials * (trials - 1) * mean**2 * math.expm1(spread**2)
    error = squares.std(ddof=1) / math.sqrt(squares.size)
    assert abs(squares.mean() - expected) < 7 * error
    assert expected > 1.5 * trials * mean * (1 - mean) + 7 * error  # identical cells would be far away


def test_loss_and_gain_of_a_cell_are_weak_together() -> None:
    """A cell's factor does not depend on the bit it stores: weak cells of stored zeros are weak as stored ones."""
    errors = rates(0.1, spread=1.5)
    often = [np.sum([np.unpackbits((draw_flips(codes, errors, 0, KEY, trial).codes ^ codes)[:, None], axis=1)
                     for trial in range(first, first + 40)], axis=0).ravel()
             for first, codes in ((0, np.zeros(2000, np.uint8)), (40, np.full(2000, 255, np.uint8)))]
    assert stats.spearmanr(*often).statistic > 0.5


def test_a_block_shares_its_flips_and_blocks_are_independent() -> None:
    codes = np.zeros(4096, np.uint8)
    read = draw_flips(codes, rates(0.2, block=16), 0, KEY, 0).codes.reshape(-1, 16)
    np.testing.assert_array_equal(read, np.repeat(read[:, :1], 16, axis=1))
    masks = np.concatenate([draw_flips(codes, rates(0.2, block=16), 0, KEY, trial).codes.reshape(-1, 16)[:, 0]
                            for trial in range(100)])
    flips = np.unpackbits(masks[:, None], axis=1).astype(bool)
    assert_binomial(int(flips.sum()), flips.size, 0.2, "cells of blocks")
    pairs = flips[0::2, 3] & flips[1::2, 3]  # neighbouring blocks
    assert_binomial(int(pairs.sum()), pairs.size, 0.04, "neighbouring blocks flip together")


@pytest.mark.parametrize("flip_probability", [0.1, 1e-6, 0.6])
@pytest.mark.parametrize("name", [name for name in qc.NOISE_MODELS if name != "uniform"])
def test_named_models_keep_the_mean_rate(name: str, flip_probability: float) -> None:
    """The mean over all cells of the memory, summed exactly: n_l weights x 8 planes per tensor."""
    profile = qc.noise_model(name).apply(flip_probability, SIZES, seed=4)
    found = profile.assign(SIZES)
    for direction in ("one_to_zero", "zero_to_one"):
        total = math.fsum(size * rate for tensor, size in SIZES.items() for rate in getattr(found[tensor], direction))
        assert total / (8 * sum(SIZES.values())) == pytest.approx(flip_probability, rel=1e-14)
    assert qc.BitErrorProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_ramps_lean_to_one_side() -> None:
    heavy, light = (qc.noise_model(name).apply(0.1, SIZES).region_of("conv.weight").one_to_zero
                    for name in ("msb-heavier", "lsb-heavier"))
    np.testing.assert_allclose(heavy, np.linspace(0.05, 0.15, 8), rtol=1e-14)
    np.testing.assert_allclose(light, heavy[::-1], rtol=1e-14)


def test_a_ramp_over_unequal_planes_keeps_each_direction() -> None:
    down, up = np.linspace(0.01, 0.2, 8), np.linspace(0.3, 0.0, 8)
    errors = CellLaw("default", BitFormat(8), down, up)
    found = qc.noise_model("msb-heavier").apply_to({"w": errors}, {"w": 10})["w"]
    assert (found.one_to_zero.sum(), found.zero_to_one.sum()) == pytest.approx((down.sum(), up.sum()), rel=1e-14)
    assert found.one_to_zero[7] / found.one_to_zero[0] == pytest.approx(3 * down[7] / down[0])


def test_layer_variation_is_keyed_and_capped() -> None:
    model = qc.NoiseModel("wild", "", layer_spread=3.0)
    found = [model.apply(0.6, SIZES, seed=seed).assign(SIZES) for seed in range(20)]
    rates_seen = np.array([[of[name].one_to_zero[0] for name in SIZES] for of in found])
    assert (rates_seen <= 1.0).all()
    assert (rates_seen == 1.0).any()
    np.testing.assert_allclose(rates_seen @ np.array(list(SIZES.values())) / sum(SIZES.values()), 0.6, rtol=1e-14)
    assert len(np.unique(rates_seen[:, 0])) > 10
    again = model.apply(0.6, dict(reversed(SIZES.items())), seed=3).assign(SIZES)
    assert again["conv.weight"].one_to_zero[0] == pytest.approx(rates_seen[3, 0], rel=1e-14)
    drawn = [model.apply(1e-9, {"a": 1, "b": 10**12}, seed=seed).region_of("a") for seed in range(400)]
    logs = np.log([law.one_to_zero[0] for law in drawn])
    assert abs(logs.std() / math.hypot(3.0, 3.0) - 1.0) < 0.3  # ln of a ratio of two factors, 8 standard errors


def test_defaults_leave_no_trace_in_the_content() -> None:
    plain = BitErrorProfile.uniform(0.1).regions[0]
    assert set(plain.to_json()) == {"name", "bits", "encoding", "one_to_zero", "zero_to_one", "tensors"}
    assert replace(plain, spread=0.3) != plain
    assert replace(plain, block=4) != plain
    assert hash(replace(plain, block=4)) != hash(plain)


@pytest.mark.parametrize("name", list(qc.NOISE_MODELS))
def test_evaluate_injects_the_nominal_rate(name: str) -> None:
    workload = qc.load_workload("small-cnn")
    plan = qc.plan(workload, "none", 0.1)
    found = qc.evaluate(workload, plan, 0.1, trials=2, noise=name)
    assert found.nominal_ber == pytest.approx(0.1, rel=0.06)  # ramps weigh planes by what is stored there
    assert found.realised_ber == pytest.approx(found.nominal_ber, rel=0.05)
    if name != "uniform":
        assert found.counts.bits_flipped != qc.evaluate(workload, plan, 0.1, trials=2).counts.bits_flipped


def test_evaluate_with_a_model_of_ones_own_differs_by_seed() -> None:
    workload = qc.load_workload("small-cnn")
    plan, model = qc.plan(workload, "none", 0.1), qc.NoiseModel("mine", "", layer_spread=1.0)
    first, second = (qc.evaluate(workload, plan, 0.1, trials=2, seed=seed, noise=model) for seed in (0, 1))
    assert abs(first.nominal_ber - 0.1) < 1e-3
    assert first.counts.bits_flipped != second.counts.bits_flipped


@pytest.mark.parametrize(("make", "what"), [
    (lambda: qc.noise_model("msb-heavy"), "msb-heavier"),
    (lambda: qc.NoiseModel("n", "", ramp=1.5), "ramp"),
    (lambda: qc.NoiseModel("n", "", cell_spread=-0.1), "cell_spread"),
    (lambda: qc.NoiseModel("n", "", block=0), "block"),
    (lambda: qc.noise_model("msb-heavier").apply(0.9, SIZES), "above 1"),
    (lambda: rates(0.1, spread=float("nan")), "spread"),
    (lambda: rates(0.1, block=2.5), "block"),
    (lambda: qc.evaluate("small-cnn", qc.plan("small-cnn", "none", 0.1), 0.1, trials=2, noise=3),
     "noise model"),  # type: ignore[arg-type]
])
def test_bad_input_is_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(InputError, match=what):
        make()


def test_command_line(codesign: Any, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    qc.plan("small-cnn", "tac", 0.1, 0.05).save(plan)
    options = ["evaluate", "--workload", "small-cnn", "--plan", str(plan), "--flip-probability", "0.1", "--trials", "3"]
    done = codesign(*options, "--noise", "clusters-16")
    assert done.code == 0
    assert "noise model:          clusters-16" in done.stdout
    refused = codesign(*options, "--noise", "cluster-16")
    assert refused.code == 2
    assert "clusters-16" in refused.stderr
