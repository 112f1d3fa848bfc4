"""What a sweep refuses before any work: bad choices, folders that cannot be used, networks of the wrong kind."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import qtaml_codesign as qc
from qtaml_codesign.errors import CodesignError, InputError, StoreError, WorkloadError
from qtaml_codesign.nets.parcel import pack
from qtaml_codesign.sweeps import collect
from tests.test_sweeps_run import OPTIONS, table


@pytest.fixture(scope="module")
def network(tiny_workload):
    return tiny_workload


REFUSED = {
    "no budgets": ({"budgets": ()}, "budgets"), "budget above 1": ({"budgets": (0.1, 1.5)}, "1.5"),
    "budget twice": ({"budgets": (0.1, 0.1)}, "twice"), "budget NaN": ({"budgets": (math.nan,)}, "nan"),
    "budget text": ({"budgets": ("0.1",)}, "number"), "no methods": ({"methods": ()}, "methods"),
    "method twice": ({"methods": ("tac", "tac")}, "twice"),
    "unknown method": ({"methods": ("tak",)}, "did you mean tac"),
    "thickness 0": ({"thickness_nm": (0.0, 1.0)}, "> 0"), "thickness twice": ({"thickness_nm": (1.8, 1.8)}, "twice"),
    "thickness NaN": ({"thickness_nm": (math.nan,)}, "finite"), "thickness none": ({"thickness_nm": ()}, "one or more"),
    "thickness table": ({"thickness_nm": ((1.8, 1.9),)}, "one axis"),
    "outside validity": ({"thickness_nm": (1e6,)}, "validity"),
    "trials 1": ({"trials": 1}, "trials"), "half-width 0.5": ({"trials": None, "half_width": 0.5}, "half"),
    "both rules": ({"half_width": 0.01}, "two stopping rules"), "limit and trials": ({"max_trials": 50}, "max-trials"),
    "workers 0": ({"workers": 0}, "workers"),
    "target 0": ({"target": 0.0}, "target"), "target 2": ({"target": 2}, "target"),
    "seed -1": ({"seed": -1}, "seed"), "seed 0.5": ({"seed": 0.5}, "seed"),
    "allocation": ({"allocation": "gredy"}, "greedy"),
    "allocation without effect": ({"allocation": "exact", "methods": ("uniform-msp",)}, "changes nothing"),
    "sensitivity": ({"sensitivity": "revers"}, "reverse"),
    "sensitivity without effect": ({"sensitivity": "reverse", "methods": ("uniform-msp",)}, "changes nothing"),
    "budget without effect": ({"methods": ("none",)}, "changes nothing"), "executor": ({"executor": 3}, "executor"),
    "card": ({"card": "3nn"}, "3nm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_choices_are_refused_before_any_work(network, name, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "make_plan", None)
    changes, word = REFUSED[name]
    with pytest.raises(CodesignError) as caught:
        table(network, out=tmp_path / "never", **changes)
    assert word in str(caught.value)
    assert not (tmp_path / "never" / "results.sqlite").exists()


def test_workload_and_executor_of_the_wrong_kind(network):
    with pytest.raises(WorkloadError, match="named by a text"):
        qc.sweep(3, "3nm", **OPTIONS)
    for workers in (0, 1.5):
        with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match="workers"):
            qc.sweep(network, "3nm", workers=workers, executor=executor, **OPTIONS)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/codesign-run"])
def test_folder_that_cannot_be_used_is_found_before_any_work(network, tmp_path, monkeypatch, place):
    monkeypatch.setattr(collect, "make_plan", None)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="folder"):
        qc.sweep(network, "3nm", out=tmp_path / place, **OPTIONS)
    assert (tmp_path / "file").read_text() == "mine"


def test_workload_that_changes_between_processes_is_refused(network, tmp_path):
    parcel = pack(network, str(tmp_path / "parcel"))
    with pytest.raises(WorkloadError, match="changed between"):
        replace(parcel, digest="0" * 64).open()
