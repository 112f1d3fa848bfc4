"""A plan as JSON: it comes back as it was, older versions keep their meaning, contradictions are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import PlanError


def test_plan_json_round_trip(small: qc.Workload, tmp_path: Path) -> None:
    plan = qc.plan(small, method="tac", flip_probability=0.1, budget=0.05)
    plan.save(tmp_path / "plan.json")
    again = qc.TacPlan.load(tmp_path / "plan.json")
    assert again == plan
    assert again.digest == plan.digest
    assert json.loads((tmp_path / "plan.json").read_text())["format"] == "qtaml-codesign plan"


def test_a_plan_of_version_1_keeps_its_meaning(small: qc.Workload) -> None:
    """Its factor was a readout gain, its tac is tac-rescaled today, its random is random-layers."""
    now = qc.plan(small, method="tac-rescaled", flip_probability=0.1, budget=0.01)
    content = json.loads(now.to_json())
    content |= {"version": 1, "method": "tac"}
    for layer in content["layers"]:
        layer["factor"] = layer.pop("gain")
        del layer["offset"], layer["planes"]
    assert any(layer["factor"] == 1.25 for layer in content["layers"])
    assert qc.TacPlan.from_json(json.dumps(content)) == now
    content["method"] = "random"
    assert qc.TacPlan.from_json(json.dumps(content)).method == "random-layers"


@pytest.mark.parametrize(("change", "message"), [
    ({"corrected": True}, "does not fit its mean correction"), ({"factor": 1.25}, "does not fit its mean correction"),
    ({"gain": 0.0}, "gain"), ({"offset": 0.1}, "does not fit its mean correction"), ({"factor": -1.0}, "factor"),
    ({"planes": [0]}, "do not fit its depth"), ({"planes": [0, 8], "depth": 2}, "do not fit its depth"),
    ({"planes": [1, 1], "depth": 2}, "do not fit its depth"),
])
def test_a_plan_whose_fields_contradict_one_another_is_refused(
    small: qc.Workload, change: dict[str, object], message: str
) -> None:
    content = json.loads(qc.plan(small, "none", 0.1).to_json())
    content["layers"][1] |= change
    with pytest.raises(PlanError, match=message):
        qc.TacPlan.from_json(json.dumps(content))
