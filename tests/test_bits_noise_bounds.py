"""Noise models at their bounds: nesting to the last bit, extreme rates, what is kept, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import mpmath
import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits import variation
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.flips import draw_flips, flip_key
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.errors import InputError

SIZES = {"a": 100, "b": 300}
LSB_ONLY = np.array([0.1] + [0.0] * 7)


def region(down: Any, **fields: Any) -> CellLaw:
    rates = np.broadcast_to(np.asarray(down, dtype=float), (8,))
    return CellLaw("default", BitFormat(8), rates, rates, **fields)


@pytest.mark.parametrize("spread", [1e-9, 0.3, 0.6, 5.0])
@pytest.mark.parametrize("mean", [5e-324, 1e-300, 1e-6, 0.1, 0.45, 0.9, 1.0 - 1e-13])
def test_the_median_never_falls_when_the_mean_rises_by_one_step(mean: float, spread: float) -> None:
    means = [mean]
    for _ in range(200):
        means.append(math.nextafter(means[-1], 1.0))
    medians = [variation.median_rate(each, spread) for each in means]
    assert medians == sorted(medians)
    assert 0.0 < medians[0] < medians[-1] or mean < 1e-300


@pytest.mark.parametrize("spread", [1e-9, 0.3, 0.6, 5.0])
def test_the_median_is_where_the_mean_is_first_reached(spread: float) -> None:
    for mean in np.geomspace(1e-12, 0.99, 50).tolist():
        median = variation.median_rate(mean, spread)
        assert variation.mean_rate(math.nextafter(median, 0.0), spread) < mean <= variation.mean_rate(median, spread)


@pytest.mark.parametrize("spread", [0.3, 5.0])
@pytest.mark.parametrize("mean", [1e-300, 1e-100, 1e-12])
def test_the_mean_of_tiny_rates_is_exact(mean: float, spread: float) -> None:
    """Oracle: the uncapped law m exp(s^2 / 2) in 30 digits, with what the cap can take away as tolerance."""
    with mpmath.workdps(30):
        median = mpmath.mpf(mean) * mpmath.exp(-mpmath.mpf(spread) ** 2 / 2)
        capped = mpmath.ncdf(mpmath.log(median) / spread + spread)
        found = mpmath.mpf(variation.median_rate(mean, spread)) / median
    assert abs(found - 1) < 1e-14 + 2 * float(capped)


def test_the_smallest_float_is_a_rate() -> None:
    assert draw_flips(np.zeros(100, np.uint8), region(5e-324, spread=5.0), 0, flip_key(0, "w"), 0).flipped == 0


@pytest.mark.parametrize("ramp", np.linspace(0.01, 1.0, 100).tolist())
def test_a_ramp_reaches_rate_one_and_no_further(ramp: float) -> None:
    found = qc.NoiseModel("n", "", ramp=ramp).apply(1.0 / (1.0 + ramp), SIZES).region_of("a")
    assert found.one_to_zero.max() == pytest.approx(1.0, rel=1e-15)
    assert found.one_to_zero.max() <= 1.0
    assert math.fsum(found.one_to_zero) / 8 == pytest.approx(1.0 / (1.0 + ramp), rel=1e-14)
    with pytest.raises(InputError, match="above 1"):
        qc.NoiseModel("n", "", ramp=ramp).apply((1.0 + 1e-12) / (1.0 + ramp), SIZES)


def test_planes_that_cannot_flip_stay_silent() -> None:
    for name in qc.NOISE_MODELS:
        found = qc.noise_model(name).apply([*LSB_ONLY], {"a": 10}).region_of("a")
        assert found.one_to_zero.tolist() == pytest.approx(LSB_ONLY.tolist(), rel=1e-14)
    assert qc.noise_model("msb-heavier").apply(0.0, SIZES).region_of("a").silent


def test_a_model_keeps_the_cell_law_that_it_does_not_name() -> None:
    given = {"w": region(0.1, block=2, spread=0.5)}
    for name, law in {"msb-heavier": (2, 0.5), "clusters-16": (16, 0.5), "cell-variation-0.3": (2, 0.3)}.items():
        found = qc.noise_model(name).apply_to(given, {"w": 10})["w"]
        assert (found.block, found.spread) == law


def test_several_regions_keep_their_rates_and_their_default() -> None:
    named = replace(region(0.3), name="embedding", tensors=("e*",))
    profile = BitErrorProfile((region(0.1), named))
    found = qc.noise_model("clusters-4").apply(profile, {"e1": 3, "fc": 4})
    assert found.regions[0] == region(0.1)
    assert [found.region_of(name).one_to_zero[0] for name in ("fc", "e1", "unknown")] == [0.1, 0.3, 0.1]
    layered = qc.NoiseModel("n", "", layer_spread=1.0).apply(profile, {"e1": 3, "fc": 4}).assign(["e1", "fc"])
    total = 3 * layered["e1"].one_to_zero[0] + 4 * layered["fc"].zero_to_one[0]
    assert total == pytest.approx(3 * 0.3 + 4 * 0.1, rel=1e-14)


def test_names_with_pattern_characters_mean_themselves() -> None:
    names = ["w[0]", "w0", "*", "b?", "bx", "W0"]
    found = qc.NoiseModel("n", "", layer_spread=1.0).apply(0.1, dict.fromkeys(names, 5))
    assert [found.region_of(name).name for name in names] == [f"tensor {name}" for name in names]


def test_numpy_numbers_become_plain_ones() -> None:
    given = region(0.1, block=np.int64(4), spread=np.float32(0.25))
    assert CellLaw.from_json(json.loads(json.dumps(given.to_json()))) == given == region(0.1, block=4, spread=0.25)
    assert hash(given) == hash(region(0.1, block=4, spread=0.25))
    assert (given.protect(3).block, given.protect(3).spread) == (4, 0.25)


@pytest.mark.parametrize("model", [qc.NoiseModel("mine", "", -0.5, 0.3, 4, 1.0), qc.noise_model("clusters-4")])
def test_evaluate_under_a_model_is_evaluate_with_its_rates(model: qc.NoiseModel) -> None:
    """The seed of the evaluation is that of the layers' factors."""
    workload = qc.load_workload("small-cnn")
    plan = qc.plan(workload, "tac", 0.1, 0.05)
    rates = model.apply(0.1, {name: weight.size for name, weight in workload.weights.items()}, seed=7)
    named = qc.evaluate(workload, plan, 0.1, trials=2, seed=7, noise=model)
    given = qc.evaluate(workload, plan, rates, trials=2, seed=7)
    assert named.score_by_trial == given.score_by_trial
    assert (named.counts.bits_flipped, named.nominal_ber) == (given.counts.bits_flipped, given.nominal_ber)


def test_the_help_names_every_model() -> None:
    from qtaml_codesign.commands.evaluate import evaluate

    option = get_args(get_type_hints(evaluate, include_extras=True)["noise"])[1]
    assert [name for name in qc.NOISE_MODELS if name != "uniform" and name not in option.help] == []


@pytest.mark.parametrize(("make", "what"), [
    (lambda: qc.noise_model("clusters-4").apply(0.1, {}), "sizes"),
    (lambda: qc.noise_model("clusters-4").apply(0.1, {"a": -1}), "sizes"),
    (lambda: qc.noise_model("clusters-4").apply(0.1, {"a": 1.5}), "sizes"),  # type: ignore[dict-item]
    (lambda: qc.noise_model("clusters-4").apply_to({"a": region(0.1)}, {"b": 1}), "sizes"),
    (lambda: qc.noise_model("clusters-4").apply_to({"a": region(0.1)}, {"a": 1, "b": 1}), "sizes"),
    (lambda: qc.noise_model("clusters-4").apply(0.1, SIZES, seed=-1), "seed"),
    (lambda: qc.NoiseModel("n", "", ramp=1.0).apply([*LSB_ONLY], SIZES), "silences every plane"),
    (lambda: qc.NoiseModel("n", "", ramp=-1.0).apply([*LSB_ONLY[::-1]], SIZES), "silences every plane"),
])
def test_bad_input_is_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        make()
    assert [part for part in ("where:", "rule:", "value:", "next:") if part not in str(caught.value)] == []
