"""What a sweep is asked for: refused before anything is loaded, the same for the functions and the commands."""

from __future__ import annotations

import inspect
import json
from dataclasses import FrozenInstanceError

import pytest

import qtaml_codesign as qc
from qtaml_codesign.commands.frontier import frontier
from qtaml_codesign.commands.sweep import sweep
from qtaml_codesign.errors import CodesignError, InputError
from qtaml_codesign.sweeps.options import sweep_options

NOWHERE = "nowhere.py:make"


@pytest.mark.parametrize(("function", "name", "near"), [
    (qc.sweep, "metods", "did you mean methods"), (qc.sweep, "half_widht", "did you mean half_width"),
    (qc.sweep, "worker", "did you mean workers"), (qc.sweep, "search", "known: allocation"),
    (qc.find_frontier, "trials", "did you mean max_trials"), (qc.find_frontier, "interpolate", "known: allocation"),
])
def test_an_unknown_argument_is_named_with_its_near_match(function, name, near):
    with pytest.raises(InputError) as caught:
        function(NOWHERE, "3nm", **{name: 3})
    assert f"{function.__name__}({name}=...)" in str(caught.value)
    assert near in str(caught.value)


BAD = {
    "reuse": ({"reuse": ["no-such-folder"]}, "--reuse"), "workers": ({"workers": 0}, "workers"),
    "executor": ({"executor": 3}, "executor"), "trials": ({"trials": 1}, "trials"),
    "thickness": ({"thickness_nm": [1e6]}, "validity"), "card": ({"card": "3nn"}, "3nm"),
    "methods": ({"methods": "tak"}, "tac"), "seed": ({"seed": -1}, "seed"), "target": ({"target": 0.0}, "target"),
    "half-width as text": ({"half_width": "0.1"}, "half_width"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_found_before_the_workload_is_loaded(name, tmp_path):
    changes, word = BAD[name]
    with pytest.raises(CodesignError) as caught:
        qc.sweep(**{"workload": NOWHERE, "card": "3nm", "out": tmp_path / "run", **changes})
    assert word in str(caught.value)
    assert "nowhere" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_options_are_frozen_plain_values():
    options = sweep_options(qc.load_card("3nm"), thickness_nm=[1.9, 1.8], budgets=[0.3, 0.1], methods="tac", trials=3)
    assert (options.thickness_nm, options.budgets, options.methods) == ((1.8, 1.9), (0.1, 0.3), ("tac",))
    assert json.loads(json.dumps(options.to_json())) == options.to_json()
    with pytest.raises(FrozenInstanceError):
        options.seed = 1


def test_every_option_is_recorded_and_taught(tiny, tmp_path):
    """What acts on the tables stands in run.json; what may be asked stands in the documentation of the function."""
    found = qc.sweep(tiny, "3nm", [1.8], [0.3], ["tac"], trials=2, out=tmp_path)
    options = json.loads((tmp_path / "run.json").read_text())["options"]
    assert options["methods"] == ["tac"]
    assert {name: options[name] for name in found.options.to_json()} == found.options.to_json()
    asked = set(inspect.signature(sweep_options).parameters) - {"card", "search"}
    for name in asked | {"workers", "executor", "out", "reuse", "progress"}:
        assert f"        {name}: " in qc.sweep.__doc__, name


def test_both_commands_take_the_same_options():
    of_sweep, of_frontier = (inspect.signature(command).parameters for command in (sweep, frontier))
    assert set(of_sweep) - set(of_frontier) == {"trials", "interpolate", "refine", "vary"}
    assert set(of_frontier) <= set(of_sweep)


@pytest.mark.parametrize("kept", [False, True])
def test_a_failed_command_leaves_no_empty_folder(codesign, tmp_path, monkeypatch, kept):
    monkeypatch.chdir(tmp_path)
    if kept:
        (tmp_path / "runs" / "other").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    done = codesign("sweep", "--device", "3nm", "--workload", NOWHERE, "--workers", 1)
    assert (done.code, "workload file does not exist" in done.stderr) == (2, True)
    assert sorted(tmp_path.rglob("*")) == before


def test_changed_fields_and_several_methods_at_once(codesign, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("sweep", "--device", "3nm", "--workload", tiny, "--thickness", "1.8", "--budget", "0.3", "--trials", 2,
              "--workers", 1, "--method")
    done = codesign(*common, "tac, magnitude", "--method", "none", "--set", "window_s=2e-6")
    assert done.code == 0, done.stderr
    record = json.loads((tmp_path / "runs" / "3nm-tiny-make-window_s=2e-6" / "run.json").read_text())
    assert record["methods"] == ["tac", "magnitude", "none"]
    done = codesign(*common, "tac,magnitud")
    assert (done.code, "did you mean magnitude" in done.stderr) == (2, True)
