"""Design margin on the raw bit error rate; choices that contradict one another; what a plan says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import BitFormat
from qtaml_codesign.ecc.family import RatedCode
from qtaml_codesign.errors import InputError, PlanError
from qtaml_codesign.nets.sensitivity import jacobian_gains
from qtaml_codesign.nets.weight_gains import gains_method
from qtaml_codesign.sweeps.codes import know_codes
from qtaml_codesign.sweeps.jobs import PlanRequest
from qtaml_codesign.sweeps.options import sweep_options
from qtaml_codesign.sweeps.workers import Job
from qtaml_codesign.tac import ways
from qtaml_codesign.tac.auto import USUAL
from qtaml_codesign.tac.ways import coded_ways, word_ways
from tests.in_memory import uniform
from tests.test_tac_stores import linear_workload


def plan_of_words(p: float, margin: float = 1.0, block: int | None = None) -> qc.TacPlan:
    return qc.plan(linear_workload(), "channel-optimised", p, cells=3.0, margin=margin, block=block)


@pytest.fixture(scope="module")
def stored() -> qc.TacPlan:
    return plan_of_words(0.1)


@pytest.fixture(scope="module")
def in_blocks() -> qc.TacPlan:
    """Tensors of 1,500 and 200 weights; the last blocks of both are shorter."""
    return plan_of_words(0.1, block=64)


@pytest.mark.parametrize("block", [None, 64])
def test_words_with_a_margin_are_those_of_the_wider_rate_and_the_plan_says_so(
    stored: qc.TacPlan, in_blocks: qc.TacPlan, block: int | None
) -> None:
    """The oracle is a plan for 1.5 p itself; only the laws that statistics and trials see differ, and here are none."""
    bare = stored if block is None else in_blocks
    wide, there = (plan_of_words(p, margin, block) for p, margin in ((0.1, 1.5), (0.1 * 1.5, 1.0)))
    assert [layer.codec for layer in wide.layers] == [layer.codec for layer in there.layers]
    assert [layer.codec for layer in wide.layers] != [layer.codec for layer in bare.layers]
    assert (wide.predicted_variance, wide.error_floor) == (there.predicted_variance, there.error_floor)
    assert qc.TacPlan.from_json(wide.to_json()) == wide
    assert json.loads(wide.to_json())["margin"] == wide.margin == 1.5
    assert "margin" not in bare.to_json()
    assert plan_of_words(0.1, 1.0, block).to_json() == bare.to_json()


def test_a_code_with_a_margin_suffices_at_the_wider_rate_and_is_rated_at_the_true_one() -> None:
    law, weights = uniform(1e-5, BitFormat(8)), np.random.default_rng(0).normal(size=(2, 9))
    plain, wide, there = (coded_ways(one, most_bits=1, margin=margin)[0]
                          for one, margin in ((law, 1.0), (law, 100.0), (uniform(100.0 * 1e-5, BitFormat(8)), 1.0)))
    assert wide.cells == there.cells > plain.cells
    assert wide.error == there.error
    held, at_wider = wide.hold(weights), there.hold(weights)
    assert (held.code, held.one_to_zero) == (at_wider.code, 1e-5)  # type: ignore[attr-defined]
    assert held.word_error_rate <= at_wider.word_error_rate  # type: ignore[attr-defined]
    assert held.cell_law(law).format.bits == 1


@pytest.mark.parametrize(("method", "p", "margin", "message"), [
    ("tac", 0.1, 1.2, "changes nothing here"), ("tac-c", 0.1, 1.2, "changes nothing here"),
    ("joint", 0.1, 5.1, "nothing to design for"), ("channel-optimised", 0.6, 1.1, "nothing to design for"),
    ("joint", 0.1, 0.9, "margin"), ("joint", 0.1, float("nan"), "margin"), ("joint", 0.0, float("inf"), "margin"),
])
def test_margins_that_act_on_nothing_are_refused(method: str, p: float, margin: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        qc.plan(linear_workload(), method, p, margin=margin)


def test_a_sweep_passes_its_margin_to_the_methods_that_have_one() -> None:
    options = sweep_options(qc.load_card("3nm"), methods=["tac", "joint"], margin=1.2, block=64,
                            sensitivity="reverse")
    assert [options.margin_of(method) for method in options.methods] == [1.0, 1.2]
    assert [options.block_of(method) for method in options.methods] == [None, 64]
    assert [options.sensitivity_of(method) for method in options.methods] == ["reverse", "auto"]
    assert (options.to_json()["margin"], options.to_json()["block"]) == (1.2, 64)
    assert not {"margin", "block"} & sweep_options(qc.load_card("3nm")).to_json().keys()
    with pytest.raises(InputError, match="changes nothing here"):
        sweep_options(qc.load_card("3nm"), methods=["tac"], margin=1.2)
    request = PlanRequest("digest", "joint", 0.0, 0, "greedy", "auto", BitErrorProfile.uniform(0.1), 3.0,
                          margin=1.2)
    asked = [replace(request, margin=margin, block=block) for margin in (1.0, 1.2) for block in (None, 64)]
    assert len({one.request_id for one in asked}) == 4
    found = [replace(request, profile=BitErrorProfile.uniform(p)).usable_margin for p in (0.1, 0.45, 0.7, 0.0)]
    assert found == pytest.approx([1.2, 0.5 / 0.45, 1.0, 1.2])


class Listing:
    """Workers, and one to be told, that only note the arguments of the jobs."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def drain(self, following: Callable[[], Job | None], _: object) -> None:
        while (job := following()) is not None:
            self.asked.append(job.arguments)

    def tell(self, state: object) -> None: ...

    def add(self, stage: str, **more: int) -> None: ...


def test_a_sweep_measures_codes_for_each_margin_before_its_plans() -> None:
    law = BitErrorProfile.uniform(0.1)
    plain, wide = (PlanRequest("digest", "joint", 0.0, 0, "greedy", "auto", law, 3.0, margin=m) for m in (1.0, 1.2))
    listing, known = Listing(), set[tuple[CellLaw, float]]()
    for requests in ([plain, wide, replace(wide, cells=4.0)], [wide, replace(wide, method="channel-optimised")]):
        know_codes(requests, ["w"], known, listing, listing)  # type: ignore[arg-type]
    laws = law.assign(["w"])
    assert listing.asked == [(laws["w"], 1.0), (laws["w"], 1.2)]


def test_auto_has_one_currency_and_tells_what_it_took() -> None:
    workload = linear_workload()
    with pytest.raises(InputError, match="between two currencies"):
        qc.plan(workload, "auto", 0.001, 0.05, cells=4.0)
    assert qc.plan(workload, "auto", 0.001).reason.endswith(USUAL)
    told = qc.plan(workload, "auto", 0.001, cells=8.0)
    assert USUAL not in told.reason
    assert told.cells == 8.0


def test_gains_that_contradict_the_sensitivity_or_serve_nothing_are_refused() -> None:
    workload = linear_workload()
    gains = jacobian_gains(workload, "random-sign")
    with pytest.raises(InputError, match="measured in another way"):
        qc.plan(workload, "tac", 0.1, 0.1, gains=gains, sensitivity="reverse")
    assert qc.plan(workload, "tac", 0.1, 0.1, gains=gains, sensitivity="random-sign").sensitivity == "random-sign"
    for method in ("joint", "none"):
        with pytest.raises(InputError, match="changes nothing here"):
            qc.plan(workload, method, 0.1, gains=gains)


def test_a_store_says_whether_signs_were_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 3, generator=generator)
    for outputs, way in ((128, "reverse"), (129, "random-sign")):
        workload = qc.Workload(nn.Linear(3, outputs, bias=False), calibration=inputs,
                               evaluation=(inputs, torch.arange(6)), name="wide")
        assert gains_method(workload) == way
        assert qc.plan(workload, "channel-optimised", 0.1, cells=2.0).sensitivity == way


def test_reprs_are_a_line(stored: qc.TacPlan, in_blocks: qc.TacPlan) -> None:
    by_rows = qc.plan(linear_workload(), "tac-c", 0.1, 0.1)
    for found in (stored, stored.layers[0], stored.layers[0].codec, in_blocks.layers[0], by_rows,
                  by_rows.layers[0].codec):
        assert len(repr(found)) < 200
        assert str(found) == repr(found)
    assert repr(stored).startswith("TacPlan(channel-optimised, 3 cells, for linear: 2 layers, 1700 weights, ")
    assert repr(stored.layers[0].codec.codebook).startswith("Codebook(")  # type: ignore[union-attr]
    assert repr(in_blocks.layers[0].codec) == "ByGroups(24 blocks of 64: 24 x 2 cells, 4 words)"


def edited(plan: qc.TacPlan, change: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(plan.to_json())
    change(content)
    return json.dumps(content)


def book(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(content["tables"].values()))
    return found


@pytest.mark.parametrize("change", [
    lambda c: c.update(statistics={"1.running_var": [-1e-9]}),
    lambda c: c.update(statistics={"1.running_mean": [1e39]}),
    lambda c: book(c)["table"].__setitem__(0, 1e7),
    lambda c: book(c)["table"].__setitem__(0, 10**400),
    lambda c: book(c)["table"].__setitem__(0, float("nan")),
    lambda c: book(c)["table"].pop(),
    lambda c: book(c)["words"].__setitem__(0, 0.5),
    lambda c: book(c)["thresholds"].reverse(),
    lambda c: c["layers"][0]["codec"]["scale"].__setitem__(0, 1e39),
    lambda c: c["layers"][0]["codec"]["scale"].__setitem__(0, -1.0),
    lambda c: c["layers"][0]["codec"]["mean"].__setitem__(0, -1e39),
    lambda c: c["layers"][0].update(weights=1499),
    lambda c: c.update(margin=0.5),
])
def test_a_store_that_cannot_be_is_refused_when_it_is_loaded(
    stored: qc.TacPlan, change: Callable[[dict[str, Any]], object]
) -> None:
    assert qc.TacPlan.from_json(edited(stored, lambda content: None)) == stored
    with pytest.raises(PlanError):
        qc.TacPlan.from_json(edited(stored, change))


@pytest.mark.parametrize(("change", "message"), [
    (lambda layer: layer.update(weights=1499), "blocks of 1500"),
    (lambda layer: layer["codec"].update(size=1499), "blocks of 1499"),
    (lambda layer: [layer["codec"]["parts"][0][1][name].pop() for name in ("mean", "scale")], "22, 23"),
    (lambda layer: [layer["codec"]["parts"][1][1][name].append(0.5) for name in ("mean", "scale")], "2, 1"),
    (lambda layer: layer["codec"]["parts"][1][0].__setitem__(0, 23.0), "ByGroups"),
])
def test_blocks_that_do_not_fit_the_layer_are_refused(
    in_blocks: qc.TacPlan, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """1,500 is no multiple of its 24 blocks: the last has 28 weights."""
    assert qc.TacPlan.from_json(edited(in_blocks, lambda content: None)) == in_blocks
    with pytest.raises(PlanError, match=message):
        qc.TacPlan.from_json(edited(in_blocks, lambda content: change(content["layers"][0])))


def test_statistics_of_another_network_are_refused(stored: qc.TacPlan) -> None:
    for statistics in ({"no_norm.running_mean": (0.0,)}, {"0.weight": (0.0,)}):
        with pytest.raises(PlanError, match="statistics do not fit"):
            qc.evaluate(linear_workload(), stored.model_copy(update={"statistics": statistics}), 0.1, trials=2)


def test_a_noise_model_that_a_store_has_no_law_for_is_refused_for_what_it_does() -> None:
    workload = linear_workload()
    coded = qc.plan(workload, "joint", 0.001, cells=3.0)
    words = qc.plan(workload, "channel-optimised", 0.001, cells=3.0)
    for noise, message in (("msb-heavier", "are no bit planes"), ("cell-variation-0.3", "independently"),
                           ("clusters-4", "independently"), ("layer-variation-0.3", "not at those of the noise model")):
        with pytest.raises(InputError, match=message) as refused:
            qc.evaluate(workload, coded, 0.001, trials=2, noise=noise)
        assert refused.value.where == "noise (--noise)"
        assert "card" not in str(refused.value)
    assert qc.evaluate(workload, words, 0.001, trials=2, noise="clusters-4").trials == 2
    with pytest.raises(InputError, match="at this flip probability was not measured"):
        qc.evaluate(workload, coded, 0.002, trials=2)


def test_prices_are_refused_where_nothing_is_protected(codesign) -> None:  # type: ignore[no-untyped-def]
    asked = ["plan", "--workload", "small-cnn", "--flip-probability", "0.1", "--price", "--method"]
    for rest, message in ((["joint"], "changes nothing here"), (["tac"], "no protected bits"),
                          (["none"], "changes nothing here")):
        done = codesign(*asked, *rest)
        assert done.code == 2
        assert message in done.stderr


def test_the_rated_code_of_a_margin_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a margin nothing but the code's own law is asked for."""
    monkeypatch.setattr(ways, "kept_law", lambda *given: pytest.fail("a second law was measured"))
    assert coded_ways(uniform(0.001, BitFormat(8)), most_bits=1)
    assert isinstance(ways.cheapest_code((0.001, 0.001), 2e-4, ways.laws_folder()), RatedCode)
    assert word_ways(uniform(0.001, BitFormat(8)))
