"""Sweeps whose codewords are really decoded: what names their tasks, what they refuse, and what they tell meanwhile."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import CellLaw
from qtaml_codesign.codecs.coded import Coded
from qtaml_codesign.ecc import family, kept_laws
from qtaml_codesign.errors import InputError
from qtaml_codesign.sweeps import jobs
from qtaml_codesign.sweeps.jobs import task_for
from qtaml_codesign.sweeps.options import sweep_options
from qtaml_codesign.sweeps.progress import SweepProgress
from qtaml_codesign.tac import ways
from qtaml_codesign.tac.plan import TacPlan
from qtaml_codesign.tac.ways import MEASURING
from tests.conftest import tiny_network

GRID = (1.856, 1.870)
"""Oxide thicknesses in nm of flip probabilities of 0.002 and 0.001, at which the code below leaves hardly an error."""
OPTIONS = {"thickness_nm": GRID, "cells": 6, "methods": "joint", "trials": 3, "refine": False}
NOWHERE = "nowhere.py:make"


def network() -> qc.Workload:
    """400 weights, a good many codewords of the code below."""
    generator = torch.Generator().manual_seed(9)
    inputs = torch.randn(60, 20, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(9)
        model = nn.Sequential(nn.Linear(20, 16, bias=False), nn.ReLU(), nn.Linear(16, 5, bias=False))
    with torch.no_grad():
        labels = model(inputs).argmax(-1)
    return qc.Workload(model, calibration=inputs, evaluation=(inputs, labels), name="for codes")


NETWORK = network()


@pytest.fixture(scope="module", autouse=True)
def one_code(tmp_path_factory: pytest.TempPathFactory):
    """One short code, measured anew in a folder of this file's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "CODES", ("bch-255-231-3",))
        patch.setattr(kept_laws, "LEAST_BITS", 10**4)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "qtaml-codesign" / "codes"


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory, one_code: Path) -> tuple[Path, qc.Sweep]:
    folder = tmp_path_factory.mktemp("decoded")
    return folder, qc.sweep(NETWORK, "3nm", out=folder, decode=True, **OPTIONS)


def test_each_point_agrees_with_evaluate_that_decodes(decoded: tuple[Path, qc.Sweep]) -> None:
    assert len(decoded[1].to_frame()) == len(GRID)
    for row in decoded[1].to_frame().itertuples():
        flip = qc.flip_probability(qc.load_card("3nm"), row.thickness_nm)
        plan = qc.plan(NETWORK, "joint", flip, cells=row.cells)
        assert plan.coded
        result = qc.evaluate(NETWORK, plan, flip, trials=3, decode=True)
        assert (row.accuracy, row.accuracy_low, row.accuracy_high) == (result.accuracy, result.low, result.high)
        assert row.realised_ber == result.realised_ber


def test_the_same_again_runs_nothing_and_without_decoding_is_another_task(
    decoded: tuple[Path, qc.Sweep], tmp_path: Path
) -> None:
    folder, first = decoded
    again = qc.sweep(NETWORK, "3nm", out=folder, decode=True, **OPTIONS)
    assert again.new_trials == 0
    assert again.to_frame().equals(first.to_frame())
    drawn = qc.sweep(NETWORK, "3nm", out=tmp_path, reuse=[folder], **OPTIONS)
    assert (drawn.borrowed_trials, drawn.new_trials) == (0, first.new_trials)
    with ThreadPoolExecutor(2) as executor:
        both = qc.sweep(NETWORK, "3nm", reuse=[folder], executor=executor, decode=True, **OPTIONS)
    assert (both.borrowed_trials, both.new_trials) == (first.new_trials, 0)
    record, other = (json.loads((place / "run.json").read_text()) for place in (folder, tmp_path))
    assert record["decode"] is True
    assert "decode" not in other


def test_decoding_names_the_task_where_words_lie_under_a_code_alone() -> None:
    law = qc.BitErrorProfile.uniform(0.001)
    laws = law.assign(list(NETWORK.weights))
    for method, names in (("joint", 2), ("channel-optimised", 1)):
        made = qc.plan(NETWORK, method, law, cells=6)
        tasks = [task_for(NETWORK.digest, made, laws, 0, decode) for decode in (False, True)]
        assert len({task.strong_id for task in tasks}) == names
    held = [codec for codec in (group.codec for group in tasks[1].groups) if isinstance(codec, Coded)]
    assert not held


@pytest.mark.parametrize("function", [qc.sweep, qc.find_frontier])
@pytest.mark.parametrize(("asked", "words"), [
    ({"methods": "tac"}, "none of the methods holds weights under a real code"),
    ({"methods": ["channel-optimised", "tac-c"]}, "none of the methods holds weights under a real code"),
    ({"methods": "joint", "decode": "no"}, "True or False"),
])
def test_decoding_is_refused_where_it_changes_nothing(function, asked: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        function(NOWHERE, "3nm", **{"decode": True, **asked})


def test_plans_without_codes_are_told_of() -> None:
    """A network smaller than a codeword."""
    found = qc.sweep(tiny_network(), "3nm", [1.87], cells=0.5, methods="joint", trials=2, decode=True, refine=False)
    assert "joint: nothing is decoded where the plan holds no weights under a code" in found.warnings


def test_options_without_it_are_as_before() -> None:
    assert "decode" not in sweep_options(qc.load_card("3nm"), methods="joint").to_json()
    assert sweep_options(qc.load_card("3nm"), methods=("tac", "joint"), decode=True).to_json()["decode"] is True


def test_the_screen_is_told_while_codes_are_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One law for two numbers of cells, another for each thickness, each asked for once and in words."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked, seen = list[CellLaw](), list[SweepProgress]()
    known = jobs.rated_for
    monkeypatch.setattr(jobs, "rated_for", lambda law, margin: (asked.append(law), known(law, margin)))
    qc.sweep(NETWORK, "3nm", progress=seen.append, **(OPTIONS | {"cells": (5, 6)}))
    notes = [state.note for state in seen if state.stage == MEASURING and state.note]
    assert len(notes) == 1
    assert "measured by decoding" in notes[0]
    assert str(tmp_path) in notes[0]
    states = [(state.done, state.total) for state in seen if state.stage == MEASURING and not state.note]
    assert states[-1][0] == states[-1][1] > 0
    assert len(asked) == len(set(asked)) >= len(GRID)
    first_plan = next(place for place, state in enumerate(seen) if state.stage == "plans" and state.done)
    assert any(state.stage == MEASURING and state.done for state in seen[:first_plan])


def test_a_plan_tells_how_many_codes_it_has_looked_at() -> None:
    seen = []
    qc.plan(NETWORK, "joint", 0.001, cells=6, progress=lambda *state: seen.append(state))
    assert [state for state in seen if state[0] == MEASURING] == [(MEASURING, 0, 1), (MEASURING, 1, 1)]


def test_a_plan_keeps_what_was_decoded() -> None:
    plan = qc.plan(NETWORK, "joint", 0.001, cells=6)
    rated = ways.code_for(next(iter(qc.BitErrorProfile.uniform(0.001).assign(["w"]).values())))
    again = TacPlan.from_json(plan.to_json())
    parts = [codec for held in again.codecs.values() for codec in
             ([part for _, part in held.parts] if hasattr(held, "parts") else [held]) if isinstance(codec, Coded)]
    assert rated is not None
    assert parts
    assert all(codec.measured == rated.law.counts for codec in parts)
    assert rated.law.counts.words == kept_laws.LEAST_WORDS
    assert "of 2000 decoded" in "".join(qc_lines(plan))


def qc_lines(plan: TacPlan) -> list[str]:
    from qtaml_codesign.report.costs import cost_lines

    return cost_lines(plan, qc.BitErrorProfile.uniform(0.001).regions[0])


def test_the_command_decodes_and_refuses(codesign, tiny, tmp_path: Path) -> None:
    common = ("--device", "3nm", "--workload", tiny, "--workers", 1, "--decode")
    done = codesign("sweep", *common, "--method", "joint", "--cells", "6", "--thickness", "1.87", "--trials", 2,
                    "--no-refine", "--out", tmp_path)
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["decode"] is True
    assert "what error-correcting codes leave of the flips is measured by decoding" in done.stderr
    for command in ("sweep", "frontier"):
        done = codesign(command, *common, "--method", "tac")
        assert (done.code, "decode (--decode)" in done.stderr) == (2, True)
