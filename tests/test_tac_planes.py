"""Which planes a plan protects: the ones that vary most what is read, the top ones where all cells are alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.tac import algorithm
from qtaml_codesign.tac.methods import ALLOCATING_METHODS
from qtaml_codesign.tac.planes import best_planes, mean_variance, top_planes, variance_by_depth

THICK_MSB = 2.1


@pytest.fixture(scope="module")
def thick() -> qc.FlipProbability:
    """The 3nm card whose top plane lies in cells of 2.1 nm, where p is 4e-9 instead of 0.1."""
    return qc.flip_probability(qc.load_card("3nm").with_field("bit_planes.7.barrier.thickness_nm", THICK_MSB))


def symmetric(rates: np.ndarray, encoding: str = "offset_binary") -> CellLaw:
    return CellLaw("default", BitFormat(len(rates), encoding), rates, rates)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["offset_binary", "twos_complement"])
@pytest.mark.parametrize("seed", range(5))
def test_planes_of_rates_of_their_own_come_by_what_they_vary(encoding: str, seed: int) -> None:
    """p (1 - p) 4^i, and at every depth the least variance of all sets of so many planes."""
    generator = np.random.default_rng(seed)
    rates, counts = 10.0 ** generator.uniform(-4, -0.3, 6), generator.integers(0, 9, 64)
    law = symmetric(rates, encoding)
    order = best_planes(law, counts)
    assert order == tuple(np.argsort(-rates * (1 - rates) * 4.0 ** np.arange(6)).tolist())
    for depth, left in enumerate(variance_by_depth(law, counts, order)):
        sets = itertools.combinations(range(6), depth)
        assert left == pytest.approx(min(mean_variance(law.without(some), counts) for some in sets), rel=1e-9)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rate", [0.0, 1e-12, 0.1, 0.5, 1.0])
def test_cells_that_are_all_alike_keep_the_top_planes(encoding: str, rate: float) -> None:
    """Also where small weights in sign-magnitude would lose less by plane 6 than by the sign: the paper's order."""
    law, counts = symmetric(np.full(8, rate), encoding), np.bincount([1, 3, 130], minlength=256)
    order = best_planes(law, counts)
    assert order == top_planes(law) == (7, 6, 5, 4, 3, 2, 1, 0)
    expected = [np.mean(ReadLaw(law, depth).variance([1, 3, 130])) for depth in range(9)]
    np.testing.assert_allclose(variance_by_depth(law, counts, order), expected, rtol=1e-14)


@pytest.mark.parametrize("method", ALLOCATING_METHODS)
@pytest.mark.parametrize("encoding", ["offset_binary", "sign_magnitude"])
def test_one_rate_for_all_cells_gives_the_same_bytes_as_top_planes(
    tiny_workload: qc.Workload, method: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = qc.plan(tiny_workload, method, 0.1, 0.35, encoding=encoding)
    assert {layer.planes for layer in plan.layers} == {()}
    monkeypatch.setattr(algorithm, "best_planes", lambda law, counts: top_planes(law))
    assert qc.plan(tiny_workload, method, 0.1, 0.35, encoding=encoding).to_json() == plan.to_json()


def test_thick_cells_for_the_top_plane_leave_the_budget_to_those_below(
    small: qc.Workload, thick: qc.FlipProbability, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 % of the bits: 0.979 [0.977, 0.981] instead of 0.964 [0.960, 0.968] of 30 trials; the same drawings here."""
    plan = qc.plan(small, "tac", thick, 0.03)
    assert [layer.planes for layer in plan.layers] == [(), (6,), (), (2, 3, 4, 5, 6)]
    assert plan.depths == {"conv1.weight": 8, "conv2.weight": 1, "fc1.weight": 0, "fc2.weight": 5}
    assert qc.TacPlan.from_json(plan.to_json()) == plan
    monkeypatch.setattr(algorithm, "best_planes", lambda law, counts: top_planes(law))
    top = qc.plan(small, "tac", thick, 0.03)
    assert plan.predicted_variance < 0.4 * top.predicted_variance
    best, other = (qc.evaluate(small, made, thick, 6).score_by_trial for made in (plan, top))
    assert sum(best) > sum(other)


def test_uniform_msp_keeps_the_top_planes(small: qc.Workload, thick: qc.FlipProbability) -> None:
    plan = qc.plan(small, "uniform-msp", thick, 0.125, sensitivity="reverse")
    assert {(layer.depth, layer.planes) for layer in plan.layers} == {(1, ())}
    assert plan.predicted_variance == pytest.approx(plan.uniform_variance, rel=1e-12)
    bare = qc.plan(small, "none", thick, sensitivity="reverse")
    assert plan.predicted_variance == pytest.approx(bare.predicted_variance, rel=1e-6)


@pytest.mark.parametrize("method", ["tac", "random", "uniform-msp"])
def test_planes_and_regions_in_one_plan_are_predicted_by_hand(tiny_workload: qc.Workload, method: str) -> None:
    """sum_l n J^2 s^2 gain^2 D^2 sum_(open i) p_li (1 - p_li) 4^i, with rates of the region and the plane."""
    card = qc.load_card("3nm").with_fields({
        "bit_planes": {7: {"barrier": {"thickness_nm": 2.1}}},
        "regions": {"second": {"tensors": ["2.*"], "barrier": {"thickness_nm": 1.85},
                               "bit_planes": {6: {"barrier": {"thickness_nm": 2.0}}}}},
    })
    flip = qc.flip_probability(card)
    plan = qc.plan(tiny_workload, method, flip, 0.3, sensitivity="reverse")
    rates = {"0.weight": flip.by_region["default"], "2.weight": flip.by_region["second"]}
    expected = 0.0
    for layer in plan.layers:
        p = rates[layer.name]
        left = sum(p[i] * (1 - p[i]) * 4.0**i for i in range(8) if i not in layer.codec.protected_planes)
        expected += layer.weights * (layer.jacobian_gain * layer.scale * layer.gain * 2.0**-7) ** 2 * left
    assert plan.predicted_variance == pytest.approx(expected, rel=1e-9)
    if method == "tac":
        assert [layer.planes[-1] for layer in plan.layers if layer.planes] in ([6], [7], [6, 7])
    result = qc.evaluate(tiny_workload, plan, flip, 2)
    assert result.counts.bits_exposed == 2 * (plan.stored_bits - plan.protected_bits)


def region_of(name: str, rate: float, tensors: tuple[str, ...] = ()) -> CellLaw:
    return CellLaw(name, BitFormat(), np.full(8, rate), np.full(8, rate), tensors)


@pytest.mark.parametrize("method", ["tac", "magnitude", "sensitivity"])
def test_a_region_that_never_flips_takes_nothing_of_the_budget(tiny_workload: qc.Workload, method: str) -> None:
    """Alone it would be planned as if it flipped, for the order of its depths; beside others it costs nothing."""
    profile = BitErrorProfile((region_of("default", 0.1), region_of("quiet", 0.0, ("0.*",))))
    plan = qc.plan(tiny_workload, method, profile, 0.4)
    assert plan.depths == {"0.weight": 0, "2.weight": 8}


def test_measured_sensitivity_counts_the_rate_of_a_region_once(tiny_workload: qc.Workload) -> None:
    """Its score holds the layer's own flips: the planes take shares of it, 1 at depth 0."""
    profile = BitErrorProfile((region_of("default", 0.1), region_of("calm", 0.01, ("0.*",))))
    plan = qc.plan(tiny_workload, "sensitivity", profile, 0.3)
    share = {layer.name: [(4.0 ** (8 - depth) - 1) / (4.0**8 - 1) for depth in range(9)] for layer in plan.layers}
    lost = {layer.name: [layer.score * (row[k] - row[k + 1]) for k in range(8)] for layer in plan.layers
            for row in [share[layer.name]]}
    steps = sorted(((gain, name) for name, row in lost.items() for gain in row), reverse=True)
    left, depths, sizes = 0.3 * 960, dict.fromkeys(lost, 0), {layer.name: layer.weights for layer in plan.layers}
    for _, name in steps:
        if sizes[name] <= left:
            left, depths[name] = left - sizes[name], depths[name] + 1
    assert plan.depths == depths


def test_rho_star_weighs_regions_by_what_they_vary(tiny_workload: qc.Workload) -> None:
    """GM / AM of s_l p_l (1 - p_l) by hand; the scores alone where all cells are alike."""
    profile = BitErrorProfile((region_of("default", 0.1), region_of("calm", 0.01, ("0.*",))))
    plan, alike = (qc.plan(tiny_workload, "tac", flips, 0.2) for flips in (profile, 0.1))

    def ratio(rates: dict[str, float]) -> float:
        size = np.array([layer.weights for layer in plan.layers]) / 120
        weighed = np.array([layer.score * rates[layer.name] * (1 - rates[layer.name]) for layer in plan.layers])
        return float(np.exp(size @ np.log(weighed)) / (size @ weighed))

    assert plan.rho_star == pytest.approx(ratio({"0.weight": 0.01, "2.weight": 0.1}), rel=1e-9)
    assert alike.rho_star == pytest.approx(ratio({"0.weight": 0.1, "2.weight": 0.1}), rel=1e-9)


def test_a_sweep_goes_over_a_card_with_thick_planes(tiny_workload: qc.Workload) -> None:
    card = qc.load_card("3nm").with_field("bit_planes.7.barrier.thickness_nm", THICK_MSB)
    sweep = qc.sweep(tiny_workload, card, thickness_nm=[1.72, 1.8], budgets=(0.3,), methods=("tac", "uniform-msp"),
                     max_trials=4, refine=False)
    frame = sweep.to_frame()
    assert len(frame) == 4
    tac, uniform = (frame[frame.method == method].accuracy.to_numpy() for method in ("tac", "uniform-msp"))
    assert (tac >= uniform).all()
