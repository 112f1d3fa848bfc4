"""Encodings and polarities side by side: exact errors, rows, order, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.bits.cell_law import BitErrorProfile, CellLaw
from qtaml_codesign.bits.formats import ENCODINGS, BitFormat
from qtaml_codesign.bits.law import ReadLaw
from qtaml_codesign.errors import InputError
from qtaml_codesign.tac.encodings import EncodingComparison

POLARITIES = {(encoding, charged) for encoding in ENCODINGS for charged in (0, 1)}


def squared_errors(workload: qc.Workload, row: object) -> float:
    """E[(read - w)^2] over w^2, by the probability of every read code of every stored one."""
    down, up = (0.1, 0.0) if row.charged_bit == 1 else (0.0, 0.1)  # type: ignore[attr-defined]
    lost = power = 0.0
    for layer in row.plan.layers:  # type: ignore[attr-defined]
        weights = workload.weights[layer.name].reshape(-1).astype(np.float64)
        law = ReadLaw(CellLaw("default", layer.codec.format, np.full(8, down), np.full(8, up)), layer.depth)
        values = layer.codec.values.astype(np.float64)
        for weight, word in zip(weights, layer.codec.encode(weights).tolist(), strict=True):
            lost += law.code_probabilities(word) @ (values - weight) ** 2
        power += weights @ weights
    return float(lost / power)


@pytest.fixture(scope="module")
def one_way(tiny_workload: qc.Workload) -> EncodingComparison:
    card = qc.load_card("ideal_paper").with_field("flips", "charge_loss")
    return qc.compare_encodings(tiny_workload, card, "uniform-msp", budget=0.125, trials=4)


def test_rows_hold_exact_errors_of_the_stored_codes(tiny_workload: qc.Workload, one_way: EncodingComparison) -> None:
    assert {(row.encoding, row.charged_bit) for row in one_way.rows} == POLARITIES
    for row in one_way.rows:
        assert row.weight_error == pytest.approx(squared_errors(tiny_workload, row), rel=1e-5)
        assert row.plan.overhead == 0.125


def test_the_best_row_comes_first_and_the_others_are_told_by_paired_drawings(one_way: EncodingComparison) -> None:
    values = [row.result.value for row in one_way.rows]
    assert values == sorted(values, reverse=True)
    assert one_way.best.behind == (0.0, 0.0, 0.0)
    last = one_way.rows[-1]
    assert last.behind.estimate == pytest.approx(values[0] - values[-1], rel=1e-12)
    assert last.behind.low < last.behind.estimate < last.behind.high
    frame = one_way.to_frame()
    assert frame.value.tolist() == values
    assert one_way.answer.startswith(f"{one_way.best.name} loses least: accuracy ")
    assert last.name in one_way.answer


def test_predicted_output_error_is_that_of_a_linear_network() -> None:
    """z = W x: E||dz||^2 averaged over inputs is exact, by the mean and variance of every weight."""
    import torch

    from qtaml_codesign.tac.evaluation import deploy_plan
    from qtaml_codesign.tac.prediction import biased_output_error
    from qtaml_codesign.tac.store_design import gains_of

    generator = torch.Generator().manual_seed(1)
    module, inputs = torch.nn.Linear(6, 4, bias=False), torch.randn(40, 6, generator=generator)
    with torch.no_grad():
        module.weight.copy_(torch.randn(4, 6, generator=generator))
    workload = qc.Workload(model=module, calibration=inputs, evaluation=(inputs, module(inputs).argmax(1)))
    law = CellLaw("default", BitFormat(8, "sign_magnitude"), np.full(8, 0.1), np.zeros(8))
    profile = BitErrorProfile((law,))
    model = deploy_plan(workload, qc.plan(workload, "none", profile), profile)
    (group,), read = model.groups, ReadLaw(law)
    scale = group.codec.scale
    bias = scale * read.conditional_mean(group.words) - workload.weights["weight"]
    x = inputs.numpy().astype(np.float64)
    expected = np.square(x @ bias.T).sum(axis=1).mean()
    gains = gains_of(workload)
    expected += float((gains["weight"] * scale**2 * read.variance(group.words)).sum())
    assert biased_output_error(workload, model, gains) == pytest.approx(expected, rel=1e-5)


def test_flips_both_ways_have_no_polarity(tiny_workload: qc.Workload) -> None:
    found = qc.compare_encodings(tiny_workload, qc.flip_probability("3nm"), "none", trials=2)
    assert [row.charged_bit for row in found.rows] == [None] * 3
    assert {row.encoding for row in found.rows} == set(ENCODINGS)
    by_name = {row.encoding: row.weight_error for row in found.rows}
    assert by_name["offset_binary"] == pytest.approx(by_name["twos_complement"], rel=1e-6)
    assert found.to_frame().charged_bit.isna().all()


@pytest.mark.parametrize("flips", ["symmetric", "charge_loss"])
def test_the_direction_asked_for_replaces_that_of_the_card(tiny_workload: qc.Workload, flips: str) -> None:
    """The same rows as a card that says so itself, whatever its own encoding, polarity and direction."""
    own = "charge_loss" if flips == "symmetric" else "symmetric"
    card = qc.load_card("3nm").with_fields({"storage.encoding": "sign_magnitude", "storage.charged_bit": 0})
    asked, said = (
        qc.compare_encodings(tiny_workload, card.with_field("flips", direction), "tac", 0.2, trials=2, **more)  # type: ignore[arg-type]
        for direction, more in ((own, {"flips": flips}), (flips, {}))
    )
    assert asked.to_frame().equals(said.to_frame())
    assert len(asked.rows) == (3 if flips == "symmetric" else 6)


def test_regions_keep_their_rates_and_bits(tiny_workload: qc.Workload) -> None:
    card = qc.load_card("3nm").with_fields({
        "flips": "charge_loss",
        "regions": {"second": {"tensors": ["2.*"], "barrier": {"thickness_nm": 2.3}, "storage": {"bits": 6}}},
    })
    found = qc.compare_encodings(tiny_workload, card, "none", trials=2)
    for row in found.rows:
        assert [layer.bits for layer in row.plan.layers] == [8, 6]
        assert {layer.encoding for layer in row.plan.layers} == {row.encoding}
        assert row.result.counts.bits_exposed == 2 * (72 * 8 + 48 * 6)


@pytest.mark.parametrize(("given", "where"), [
    ({"method": "joint"}, "method"), ({"method": "tack"}, "method"), ({"flips": "both"}, "flips"),
    ({"trials": 1}, "trials"),
])
def test_what_cannot_be_compared_is_refused(tiny_workload: qc.Workload, given: dict[str, object], where: str) -> None:
    with pytest.raises(InputError) as failure:
        qc.compare_encodings(tiny_workload, 0.1, **given)  # type: ignore[arg-type]
    assert where in failure.value.where


def test_the_command_says_which_loses_least(codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    place = tmp_path / "encodings.csv"
    done = codesign("encodings", "--device", "3nm", "--workload", tiny, "--flips", "charge_loss", "--method", "tac",
                    "--budget", "20%", "--trials", 3, "--csv", place)
    assert done.code == 0, done.stderr
    rows = list(csv.DictReader(place.open()))
    assert {(row["encoding"], int(row["charged_bit"])) for row in rows} == POLARITIES
    assert f"{rows[0]['encoding']}, charged {rows[0]['charged_bit']} loses least" in " ".join(done.stdout.split())
    alike = codesign("encodings", "--device", "3nm", "--workload", tiny, "--method", "none", "--trials", 2)
    assert alike.code == 0, alike.stderr
    assert "the charged value changes nothing" in " ".join(alike.stderr.split())
    assert "charged\n" not in alike.stdout
    wrong = codesign("encodings", "--device", "3nm", "--workload", tiny, "--flips", "upwards")
    assert wrong.code == 2
    assert "symmetric" in wrong.stderr
