"""What studies are made of: cases that are kept, verdicts, intervals over seeds, the parts of lab."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noise_models
import qtaml_codesign as qc
from lab import cases as lab_cases
from lab import networks as lab_networks
from lab.claims import Claim, above, below, close, holds, keeps, lowers, raises, within
from lab.networks import train
from lab.summary import over_seeds, paired_difference
from linear_response import excess_claim
from qtaml_codesign.statistics import Interval
from qtaml_codesign.tac.evaluation import deploy_plan
from reproduction import study_of, verdict_counts


def test_cells_for_a_target_lie_between_the_amounts_that_were_measured() -> None:
    kept = {("joint", 2.0): (2.0, 0.90), ("joint", 3.0): (3.0, 1.0), ("none", 0.0): (8.0, 0.2),
            ("tac", 0.05): (8.5, 0.97), ("limit", 1.0): (1.0, 0.96)}
    rows = pd.DataFrame([
        {"network": "small-cnn", "seed": seed, "method": method, "amount": amount, "cells": cells, "accuracy": share,
         "clean_accuracy": 1.0, "code": "code", "cells_per_bit": 2.0}
        for (method, amount), (cells, share) in kept.items() for seed in (0, 1)
    ])
    found = study_of("joint_design").second_table(rows).iloc[0]
    assert found["joint design"] == "2.5 / 2.9"
    assert found["Shannon limit"] == "<= 1.0 / -"
    assert found["TAC, protection by a real code"] == "8.5 / -"
    assert found["Uniform-MSP, by the same code"] == "- / -"


def test_a_case_is_kept_as_soon_as_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the third case: two are kept, the next run measures the rest, a torn line is cut off."""
    done: list[int] = []

    def measure(case: dict[str, int], folder: Path) -> list[dict[str, int]]:
        if case["number"] == stop_at:
            raise KeyboardInterrupt
        done.append(case["number"])
        return [{"square": case["number"] ** 2}]

    wanted = [{"number": number} for number in range(5)]
    stop_at = 2
    with pytest.raises(lab_cases.Interrupted, match="2 of 5"):
        lab_cases.measure_all("toy", measure, wanted, tmp_path, tmp_path, workers=1)
    with (tmp_path / "cases.jsonl").open("a") as file:
        file.write('{"case": "torn')
    stop_at = -1
    rows = lab_cases.measure_all("toy", measure, wanted, tmp_path, tmp_path, workers=1)
    assert rows == [{"number": number, "square": number**2} for number in range(5)]
    assert done == [0, 1, 2, 3, 4]


def test_other_content_is_measured_anew(tmp_path: Path) -> None:
    def measure(case: dict[str, int], folder: Path) -> list[dict[str, int]]:
        calls.append(case["number"])
        return [{}]

    calls: list[int] = []
    for number in (1, 2, 1):
        lab_cases.measure_all("toy", measure, [{"number": number}], tmp_path, tmp_path, workers=1)
    assert calls == [1, 2]


def test_training_is_the_recipe_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped weights come out of seed 0 again, to the last bits that another machine may round differently."""
    shipped = qc.load_workload("small-cnn")
    again = train("small-cnn", 0).state_dict()
    for name, weight in shipped.weights.items():
        np.testing.assert_allclose(again[name].numpy(), weight, atol=0.05)
    monkeypatch.setattr(lab_networks, "EPOCHS", 1)
    one, other = (train("small-cnn", seed).state_dict()["fc2.weight"].numpy() for seed in (0, 1))
    assert not np.allclose(one, other, atol=0.05)


def test_verdicts_follow_the_interval() -> None:
    high, low, across = Interval(0.9, 0.8, 1.0), Interval(0.1, 0.0, 0.2), Interval(0.5, 0.3, 0.7)
    assert [above(found, 0.5) for found in (high, low, across)] == ["agrees", "differs", "not decidable"]
    assert [below(found, 0.5) for found in (high, low, across)] == ["differs", "agrees", "not decidable"]
    assert [within(found, 0.25, 0.75) for found in (high, low, across)] == ["differs", "differs", "agrees"]
    assert within(across, 0.4, 0.75) == "not decidable"
    assert [holds(True), holds(False)] == ["agrees", "differs"]
    with pytest.raises(ValueError, match="evidence"):
        Claim("key", "5.1", "statement", "figure", "differs")


@pytest.mark.parametrize(("low", "high", "verdict"), [
    (0.011, 0.04, "agrees"), (0.002, 0.009, "differs"), (-0.04, -0.02, "differs"), (0.005, 0.02, "not decidable"),
])
def test_help_and_harm_follow_one_rule(low: float, high: float, verdict: str) -> None:
    """-0.6 [-0.9, -0.2] pp is no harm, as +0.6 [0.2, 0.9] pp is no help: both stay below a percentage point."""
    middle = (low + high) / 2
    assert raises(Interval(middle, low, high)) == verdict
    assert lowers(Interval(-middle, -high, -low)) == verdict


def verdicts_of(claims: list[Claim]) -> dict[str, str]:
    return {claim.key: claim.verdict for claim in claims}


@pytest.mark.parametrize(("bare", "verdict"), [(0.05, "agrees"), (0.1, "not decidable"), (0.251, "differs")])
def test_collapse_is_below_random(bare: float, verdict: str) -> None:
    accuracies = {("none", 0.0): bare, ("mean-only", 0.0): 0.3, ("tac-bits-only", 0.05): 0.96,
                  ("tac", 0.05): 0.97, ("uniform-msp", 0.125): 0.9}
    rows = pd.DataFrame([
        {"network": "net", "method": method, "budget": budget, "deployed": 0.10, "seed": seed, "accuracy": mean + shift,
         "clean_accuracy": 0.98}
        for (method, budget), mean in accuracies.items() for seed, shift in enumerate((-0.004, 0.0, 0.004))
    ])
    assert verdicts_of(study_of("accuracy_vs_overhead").claims(rows))["5.2-collapse"] == verdict


@pytest.mark.parametrize(("decades", "verdict"), [(2.7, "differs"), (3.2, "agrees")])
def test_nearly_three_orders_of_magnitude_are_three(decades: float, verdict: str) -> None:
    rows = pd.DataFrame([
        {"network": "small-cnn", "seed": seed, "budget": budget, "allocation": "greedy", "layer": layer,
         "score": score * 10.0 ** (0.01 * seed if layer == "conv1" else 0.0), "gain": score, "depth": depth}
        for seed in range(3) for budget in (0.02, 0.05, 0.10)
        for layer, score, depth in (("conv1", 10.0**decades, 8), ("conv2", 10.0, 4), ("fc1", 1.0, 0), ("fc2", 50.0, 7))
    ])
    assert verdicts_of(study_of("allocation").claims(rows))["5.3-spread"] == verdict


def test_the_excess_over_the_prediction_is_split_into_drift_and_the_rest() -> None:
    claim = excess_claim(Interval(1.30, 1.20, 1.40), Interval(0.93, 0.90, 0.96), 0.10)
    assert claim.verdict == "agrees"
    assert "about the mean logits 0.93 [0.90, 0.96]x" in claim.figure


def test_nothing_lost_and_a_few_points() -> None:
    gaps = [Interval(middle, middle - 0.004, middle + 0.004) for middle in (-0.08, -0.03, -0.01, -0.001, 0.03)]
    assert [keeps(gap) for gap in gaps] == ["differs", "differs", "not decidable", "agrees", "agrees"]
    assert [close(gap) for gap in gaps] == ["differs", "not decidable", "not decidable", "agrees", "not decidable"]


def test_the_page_counts_claims_of_the_paper_alone() -> None:
    claims = [{"kind": kind, "verdict": verdict, "where": "1", "statement": "s", "figure": "f"} for kind, verdict in (
        ("claim of the paper", "agrees"), ("claim of the paper", "differs"), ("identity", "agrees"), ("ours", "agrees"),
        ("ours", "not decidable"))]
    text = verdict_counts([{"name": "study", "claims": claims}])
    assert ("2 claims of the paper: 1 agrees, 1 differs, 0 not decidable; 1 identities: 1 agrees, 0 differs, 0 not "
            "decidable; 2 results of ours: 1 agrees, 0 differs, 1 not decidable.") in text


def test_layer_variation_is_drawn_anew_for_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rates of a law without layer variation stay; with it no two trials share theirs, and no mean moves."""
    workload, memories = qc.load_workload("small-cnn"), []
    plan = qc.plan(workload, "uniform-msp", 0.1, 0.125)
    same = noise_models.redrawn(workload, plan, qc.noise_model("uniform"), 2, seed=3)
    assert same.score == qc.evaluate(workload, plan, 0.1, 2, seed=3).counts.score

    def watched(*given: object, **named: object) -> object:
        memories.append(deploy_plan(*given, **named))
        return memories[-1]

    monkeypatch.setattr(noise_models, "deploy_plan", watched)
    for seed in (0, 1):
        noise_models.redrawn(workload, plan, qc.noise_model("layer-variation-0.3"), 3, seed)
    first = [group.law.one_to_zero[0] for memory in memories for group in memory.groups if group.name == "fc1.weight"]
    assert len(first) == len(set(first)) == 6


def test_a_case_depends_on_what_its_measurement_uses(tmp_path: Path) -> None:
    """The helpers of studies/lab that `measure` uses count, and constants; what draws and judges does not."""
    recipe = lab_cases.recipe_of(study_of("mean_correction").measure)
    assert {"deploy.accuracy_row", "deploy.result_row", "networks.trained", "summary.counts_row"} <= set(recipe)
    assert not any(name.startswith(("claims.", "figures.", "tables.")) for name in recipe)
    source = "SIZE = {}\ndef inner(x):\n    return {} * x\ndef measure(case, folder):\n    return inner(SIZE)\n"
    found = []
    for number, (size, factor) in enumerate(((1, 2), (1, 3), (4, 3))):
        path = tmp_path / f"toy{number}.py"
        path.write_text(source.format(size, factor))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append({name.partition(".")[2]: text for name, text in
                      lab_cases.recipe_of(module.measure, root=tmp_path).items()})
    assert found[0]["inner"] != found[1]["inner"]
    assert found[1]["SIZE"] != found[2]["SIZE"]


def rows_of(accuracies: dict[int, list[int]], network: str = "net") -> pd.DataFrame:
    """One row per training seed from the correct answers of its trials, out of 100 samples."""
    return pd.DataFrame([
        {"network": network, "seed": seed, "method": "m", "trials": len(right), "samples": 100, "correct": sum(right),
         "correct_squares": sum(count**2 for count in right), "accuracy": sum(right) / len(right) / 100,
         "clean_accuracy": 1.0}
        for seed, right in accuracies.items()
    ])


def test_intervals_over_seeds_and_over_trials() -> None:
    right = {0: [80, 90, 85], 1: [70, 75, 65], 2: [90, 95, 88]}
    found = over_seeds(rows_of(right), ["method"]).iloc[0]
    means = np.array([np.mean(trials) for trials in right.values()]) / 100
    from scipy import stats

    low, high = stats.t.interval(0.95, 2, loc=means.mean(), scale=stats.sem(means))
    assert (found["accuracy"], found["low"], found["high"]) == pytest.approx((means.mean(), low, min(high, 1.0)))
    variance = sum(np.var(trials, ddof=1) / 3 for trials in right.values()) / 9 / 100**2
    half = stats.t.ppf(0.975, 6) * np.sqrt(variance)
    assert found["high_trials"] - found["low_trials"] == pytest.approx(2 * half)
    assert (found["networks"], found["trials"]) == (3, 9)


def test_a_difference_is_paired_by_training_seed() -> None:
    first, second = rows_of({0: [80, 82], 1: [60, 62]}), rows_of({1: [50, 52], 0: [70, 72]})
    found = paired_difference(first, second)
    assert found == pytest.approx((0.1, 0.1, 0.1), abs=1e-12)
    with pytest.raises(ValueError, match="share no network"):
        paired_difference(first, rows_of({7: [1, 2]}))


def test_one_network_is_paired_by_trial() -> None:
    right = ([80, 70, 90, 60], [78, 69, 87, 58])
    arms = [rows_of({0: list(trials)}).assign(by_trial=" ".join(map(str, trials))) for trials in right]
    from scipy import stats

    gap = (np.array(right[0]) - np.array(right[1])) / 100
    low, high = stats.t.interval(0.95, 3, loc=gap.mean(), scale=stats.sem(gap))
    assert paired_difference(*arms) == pytest.approx((gap.mean(), low, high))
    loose = paired_difference(*(arm.drop(columns="by_trial") for arm in arms))
    assert loose.half_width > 5 * (high - low) / 2
    same = paired_difference(arms[0], arms[0])
    assert same == pytest.approx((0.0, -3 / 400, 3 / 400))


@pytest.mark.parametrize("options", [["--trials", "0"], ["--seeds", "none"], ["--trials", "1"], ["--unknown"]])
def test_bad_options_exit_2_and_measure_nothing(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module("accuracy_vs_overhead").STUDY.main([*options, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert list(tmp_path.iterdir()) == []
