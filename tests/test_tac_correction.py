"""Mean corrections of a layer: which come into question, and readout offsets under flips that go one way only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.nets.network import LayerAlone
from qtaml_codesign.tac.correction import NOTHING, RULES, MeanCorrection, ProtectedLayer, decide, samples_for

CORRECTING = ("tac", "tac-always-corrected", "tac-unprotected-corrected", "tac-slope-corrected")
ONE_PLANE_EACH = 1.0 / 8.0


def charge_loss(encoding: str = "offset_binary", rate: float = 0.1, bits: int = 8) -> CellLaw:
    return CellLaw("default", BitFormat(bits, encoding), np.full(bits, rate), np.zeros(bits))  # type: ignore[arg-type]


def layer(errors: CellLaw, depth: int = 0) -> ProtectedLayer:
    weights = np.random.default_rng(1).normal(0.02, 0.2, (30, 20))
    return ProtectedLayer.unprotected("w", weights, errors).protected(depth)


def read_mean(stored, errors: CellLaw) -> float:  # type: ignore[no-untyped-def]
    """Mean of what is read, from the probability of every read code of every stored one."""
    law = ReadLaw(errors.protect(stored.codec.depth))
    codes, counts = np.unique(stored.words, return_counts=True)
    means = [law.code_probabilities(int(code)) @ stored.codec.values.astype(np.float64) for code in codes]
    return float(counts @ np.array(means)) / stored.words.size


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("start", [NOTHING, MeanCorrection(1.1), MeanCorrection(gain=1.2)])
def test_the_offset_puts_the_mean_read_weight_where_the_mean_written_one_is(
    encoding: str, depth: int, start: MeanCorrection
) -> None:
    errors = charge_loss(encoding)
    given = layer(errors, depth)
    plain = float(given.plain.weights().mean(dtype=np.float64))
    chosen = given.centred(start)
    assert (chosen.factor, chosen.gain) == (start.factor, start.gain)
    assert read_mean(given.stored(chosen), errors) == pytest.approx(plain, abs=1e-7 * given.plain.codec.scale)
    assert abs(read_mean(given.stored(start), errors) - plain) > 1e-4 * given.plain.codec.scale


def test_symmetric_laws_and_protected_layers_keep_offset_zero() -> None:
    symmetric = BitErrorProfile.uniform(0.1).regions[0]
    assert layer(symmetric).centred(MeanCorrection(1.25)) == MeanCorrection(1.25)
    assert layer(charge_loss(), depth=8).centred(NOTHING) == NOTHING


@pytest.mark.parametrize("rule", ["decided", "always", "where-unprotected", "to-slope", "never", "rescaled"])
def test_what_comes_into_question_for_one_layer(rule: str) -> None:
    """Offset binary, charge loss, one plane protected: the paper's factor is 1 / (1 - p)."""
    given = layer(charge_loss(), depth=1)
    by_factor = given.centred(MeanCorrection(1 / 0.9))
    own = given.centred(MeanCorrection(given.own_factor))
    expected = {
        "never": (NOTHING,), "always": (by_factor,), "decided": (NOTHING, given.centred(NOTHING), by_factor),
        "where-unprotected": (given.centred(NOTHING),), "to-slope": (own,),
        "rescaled": (NOTHING, MeanCorrection(gain=1 / 0.9)),
    }
    assert RULES[rule](given) == expected[rule]  # type: ignore[index]
    assert own.factor not in (1.0, by_factor.factor)


def test_a_law_without_drift_leaves_nothing_to_decide(tiny_workload: qc.Workload) -> None:
    layers = {str(rate): layer(BitErrorProfile.uniform(rate).regions[0]) for rate in (0.5, 1e-20)}
    simulated: list[tuple[int, int]] = []
    chosen = decide(tiny_workload, layers, RULES["decided"], 0, 1, lambda *steps: simulated.append(steps))
    assert chosen == dict.fromkeys(layers, NOTHING)
    assert simulated == []


@pytest.mark.parametrize("encoding", ["offset_binary", "twos_complement"])
def test_the_offset_repairs_charge_loss(encoding: str) -> None:
    """SmallCNN, 3 %, p = 0.10: 0.857 -> 0.976 in offset binary, 0.905 -> 0.977 in two's complement (30 trials)."""
    small = qc.load_workload("small-cnn")
    profile = BitErrorProfile((charge_loss(encoding),))
    bare, tac = (qc.plan(small, method, profile, 0.03) for method in ("tac-bits-only", "tac"))
    assert not any(layer.corrected for layer in bare.layers)
    assert [layer.offset != 0.0 for layer in tac.layers] == [layer.depth < 8 for layer in tac.layers]
    assert qc.evaluate(small, bare, profile, 5).accuracy < 0.94 < 0.96 < qc.evaluate(small, tac, profile, 5).accuracy


@pytest.mark.parametrize("method", CORRECTING)
def test_symmetric_flips_never_get_an_offset(method: str) -> None:
    plan = qc.plan(qc.load_workload("small-cnn"), method, 0.1, 0.01)
    assert any(layer.corrected for layer in plan.layers)
    assert {layer.offset for layer in plan.layers} == {0.0}


class TwoHeads(torch.nn.Module):
    """A residual block, a head that is used and a head that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.used, self.unused = (torch.nn.Linear(6, size, bias=False) for size in (6, 3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = x + torch.relu(self.first(x))
        return self.used(hidden) + 0.0 * self.unused(hidden).sum()


@pytest.mark.parametrize("method", ["tac", "tac-bits-only"])
@pytest.mark.parametrize("allocation", ["greedy", "exact"])
def test_an_unused_head_costs_nothing(method: str, allocation: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs = TwoHeads(), torch.randn(40, 6)
    workload = qc.Workload(model=model, calibration=inputs, evaluation=(inputs, model(inputs).argmax(1)))
    for budget in (ONE_PLANE_EACH, 1.0):
        plan = qc.plan(workload, method, 0.1, budget, allocation=allocation)
        assert plan.scores["unused.weight"] == plan.depths["unused.weight"] == 0
        assert plan.depths["first.weight"] > 0
        assert 0.0 < plan.rho_star < 1.0


def test_a_dead_layer_inside_a_residual_block_has_no_floor() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs = TwoHeads(), torch.randn(40, 6)
    floors = []
    for scale in (1.0, 0.0):
        with torch.no_grad():
            model.first.weight.mul_(scale)
        workload = qc.Workload(model=model, calibration=inputs, evaluation=(inputs, model(inputs).argmax(1)))
        plan = qc.plan(workload, "tac", 0.1, 0.5)
        floors.append({layer.name: layer.floor for layer in plan.layers}["first.weight"])
    assert floors == [1, 0]


def sequences(samples: int = 10, classes: int = 7, length: int = 5) -> qc.Workload:
    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, classes))
    inputs = torch.randn(samples, length, 4)
    with torch.no_grad():
        return qc.Workload(module, inputs, (inputs, module(inputs).argmax(-1)), name="sequences")


@pytest.mark.parametrize(("most", "taken"), [
    (10**6, range(10)), (350, range(10)), (349, range(9)), (5 * 35, (0, 2, 4, 6, 8)), (1, (0, 2, 5, 7))])
def test_simulations_run_as_many_samples_as_their_logits_allow(
    monkeypatch: pytest.MonkeyPatch, most: int, taken: tuple[int, ...]
) -> None:
    """35 logits per sample, ten samples; four of them always."""
    monkeypatch.setattr("qtaml_codesign.tac.correction.MOST_LOGITS", most)
    workload = sequences()
    assert torch.equal(samples_for(workload), workload.calibration[list(taken)])


@pytest.mark.parametrize("method", ["tac", "sensitivity"])
def test_no_simulation_holds_more_logits_than_that(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    held = []
    real = LayerAlone.run
    monkeypatch.setattr("qtaml_codesign.tac.correction.MOST_LOGITS", 5 * 35)

    def run(alone: LayerAlone, *more: Any) -> torch.Tensor:
        held.append(alone.clean.numel())
        return real(alone, *more)

    monkeypatch.setattr(LayerAlone, "run", run)
    qc.plan(sequences(), method, 0.1, 0.1)
    assert set(held) == {5 * 35}


@pytest.mark.parametrize("name", ["small-cnn", "transformer"])
def test_classifiers_are_simulated_on_all_calibration_samples(name: str) -> None:
    workload = qc.load_workload(name)
    assert samples_for(workload) is workload.calibration


@pytest.mark.parametrize(("method", "stages"), [
    ("tac", ["calibration", "correction"]), ("tac-bits-only", ["calibration"]), ("sensitivity", ["scores"]),
    ("uniform-msp", [])])
def test_a_plan_tells_how_far_it_is(method: str, stages: list[str]) -> None:
    seen: list[tuple[str, int, int]] = []
    workload = sequences(classes=3 + len(method))  # gains are measured once for each network
    qc.plan(workload, method, 0.1, 0.1, progress=lambda *state: seen.append(state))
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == stages
    for stage in set(stages) - {"calibration"}:
        steps = [(done, total) for told, done, total in seen if told == stage]
        assert steps == [(done, 2) for done in range(3)]
