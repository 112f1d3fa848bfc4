"""Jacobian gains in a sweep: measured once, by the driver, with progress, and only where a plan follows from them."""

from __future__ import annotations

import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile
from qtaml_codesign.errors import InputError
from qtaml_codesign.nets import sensitivity
from qtaml_codesign.sweeps import collect
from qtaml_codesign.sweeps.jobs import PlanRequest, make_plan
from qtaml_codesign.sweeps.workers import Workers
from qtaml_codesign.tac import algorithm

OPTIONS = {"thickness_nm": (1.73, 1.9), "budgets": (0.125, 0.3), "trials": 2, "refine": False}


@pytest.fixture
def measured(monkeypatch):
    """How each measurement of gains was asked for, with nothing known beforehand."""
    real, asked = sensitivity.jacobian_gains, []

    def watched(workload, method, **more):
        asked.append(method)
        return real(workload, method, **more)

    for room in (algorithm, collect):
        monkeypatch.setattr(room, "jacobian_gains", watched)
    return asked


def stages(network, **more):
    seen = []
    qc.sweep(network, "3nm", progress=seen.append, **{**OPTIONS, **more})
    return seen


def test_the_calibration_is_seen_once_and_before_the_plans(tiny, measured, tmp_path):
    seen = stages(tiny, methods=("tac", "tac-bits-only", "uniform-msp"), out=tmp_path / "run")
    order = list(dict.fromkeys(state.stage for state in seen))
    assert order.index("calibration") < order.index("trials")
    of_calibration = [index for index, state in enumerate(seen) if state.stage == "calibration"]
    first_plan = next(index for index, state in enumerate(seen) if state.stage == "plans")
    assert max(of_calibration) < first_plan
    assert all(0 <= seen[index].done <= seen[index].total for index in of_calibration)
    assert seen[of_calibration[-1]].done == seen[of_calibration[-1]].total
    assert measured == ["auto"]
    assert "calibration" not in {state.stage for state in stages(tiny, methods=("tac",), out=tmp_path / "run")}
    assert measured == ["auto"], "the plans were known already"


def test_methods_that_need_no_gains_measure_none(tiny, measured):
    seen = stages(tiny, methods=("uniform-msp", "uniform-msp-fractional", "magnitude", "sensitivity", "random", "none"))
    assert {state.stage for state in seen} == {"first answer", "plans", "trials"}
    assert measured == []


def test_the_sensitivity_reaches_the_plans(tiny, measured):
    network = qc.load_workload(tiny)
    found = qc.sweep(network, "3nm", methods=("tac", "uniform-msp"), sensitivity="random-sign", **OPTIONS)
    assert measured == ["random-sign"]
    assert found.options.sensitivity == "random-sign"
    assert qc.find_frontier(network, "3nm", budgets=(0.125,), methods=("tac",), sensitivity="finite-difference",
                            max_trials=4).options.sensitivity == "finite-difference"
    assert measured == ["random-sign", "finite-difference"]


def test_plans_by_other_gains_have_other_names():
    profile = BitErrorProfile.uniform(0.1)
    names = {PlanRequest("0" * 64, "tac", 0.1, 0, "greedy", way, profile).request_id
             for way in ("auto", "reverse", "random-sign")}
    assert len(names) == 3


def test_a_worker_measures_no_gains(tiny, measured):
    network = qc.load_workload(tiny)
    gains = sensitivity.jacobian_gains(network)
    request = PlanRequest(network.digest, "tac", 0.3, 0, "greedy", "auto", BitErrorProfile.uniform(0.1))
    made = make_plan(Workers(network).handle, request, gains)
    assert measured == []
    assert made.to_json() == qc.plan(network, "tac", 0.1, 0.3, gains=gains).to_json()
    assert measured == []
    assert made.to_json() == qc.plan(network, "tac", 0.1, 0.3).to_json()
    assert measured == ["auto"]


def test_gains_of_another_network_are_refused(tiny):
    gains = sensitivity.jacobian_gains(qc.load_workload("small-cnn"))
    with pytest.raises(InputError, match="belong to another network"):
        qc.plan(tiny, "tac", 0.1, 0.3, gains=gains)
