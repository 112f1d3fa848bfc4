"""`codesign flip`: options, output, files and refusals."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from mpmath import mpf

from qtaml_codesign.cards import list_cards, load_card
from qtaml_codesign.commands.files import write_csv
from qtaml_codesign.commands.ranges import parse_fractions, parse_range
from qtaml_codesign.commands.show import power_of_ten, print_table
from qtaml_codesign.errors import InputError, StoreError
from qtaml_codesign.physics.flip import flip_probability
from tests.conftest import ROOT, Finished

COLUMNS = ["thickness_nm", "transmission", "escape_probability", "mean_escapes", "flip_probability",
           "log10_flip_probability", "regime"]
Run = Callable[..., Finished]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("name", list_cards())
def test_csv_agrees_with_the_golden_values(name: str, codesign: Run, tmp_path: Path) -> None:
    """Relative error <= 1e-10 of p_flip and <= 1e-12 of ln p_flip, also where p_flip is below every float."""
    golden = json.loads((ROOT / "tests" / "golden.json").read_text(encoding="utf-8"))[name]
    assert codesign("flip", "--device", name, "--csv", tmp_path / "flip.csv").code == 0
    (row,) = rows_of(tmp_path / "flip.csv")
    exponent, chance = mpf(golden["log10_p_flip"]), mpf(golden["p_flip"])
    assert abs(mpf(row["log10_flip_probability"]) / exponent - 1) <= 1e-12
    if chance > 1e-300:
        assert abs(mpf(row["flip_probability"]) / chance - 1) <= 1e-10
    else:
        assert float(row["flip_probability"]) == 0.0


def test_csv_holds_the_library_numbers_to_the_last_digit(codesign: Run, tmp_path: Path) -> None:
    file = tmp_path / "flips.csv"
    assert codesign("flip", "--device", "3nm", "--thickness", "1.7:2.2:6", "--csv", file).code == 0
    assert file.read_text().splitlines()[0].split(",") == COLUMNS
    flip = flip_probability(load_card("3nm"), np.linspace(1.7, 2.2, 6))
    numbers = [flip.thickness_nm, flip.transmission, flip.escape_probability, flip.mean_escapes, flip.probability,
               flip.log10_probability]
    for column, expected in zip(COLUMNS[:6], numbers, strict=True):
        assert [float(row[column]) for row in rows_of(file)] == expected.tolist()
    assert [row["regime"] for row in rows_of(file)] == flip.regime.tolist()
    assert sorted(os.listdir(tmp_path)) == ["flips.csv"]
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_options_one_row_at_the_card_thickness(codesign: Run) -> None:
    done = codesign("flip", "--device", "3nm")
    header, row = done.stdout.splitlines()[1:]
    assert header.split() == COLUMNS
    assert row.split() == ["1.765", "2.11271e-09", "0.0494411", "2.47205", "0.0999705", "-1.00013", "transition"]
    assert "binomial" in done.stderr
    assert "symmetric" in done.stderr
    assert "warning" not in done.stderr


def test_vary_makes_a_grid_of_leading_columns(codesign: Run, tmp_path: Path) -> None:
    file = tmp_path / "grid.csv"
    done = codesign("flip", "--device", "3nm", "--vary", "window_s=1e-9:1e-3:3:log", "--vary", "cell.electrons=40:60:3",
                    "--thickness", "1.8:2:2", "--csv", file)
    assert done.code == 0
    rows = rows_of(file)
    assert list(rows[0]) == ["window_s", "cell.electrons", *COLUMNS]
    assert [row["cell.electrons"] for row in rows[:6]] == ["40", "40", "50", "50", "60", "60"]
    assert [float(row["window_s"]) for row in rows[::6]] == pytest.approx([1e-9, 1e-6, 1e-3], rel=1e-14)
    card = load_card("3nm").with_field("window_s", 1e-3).with_field("cell.electrons", 60)
    assert float(rows[-1]["flip_probability"]) == flip_probability(card, 2.0).probability


def test_underflow_shows_zero_and_the_right_logarithm(codesign: Run, tmp_path: Path) -> None:
    file = tmp_path / "nor.csv"
    done = codesign("flip", "--device", "nor_flash_floating_gate", "--csv", file)
    assert rows_of(file)[0]["flip_probability"] == "0.0"
    assert float(rows_of(file)[0]["log10_flip_probability"]) == pytest.approx(-12248.986278517338, rel=1e-12)
    assert "warning: a flip takes 500 of 1000" in done.stderr


def test_tail_is_used_and_named(codesign: Run) -> None:
    done = codesign("flip", "--device", "3nm", "--tail", "poisson")
    assert "0.10512" in done.stdout
    assert "approximation" in done.stderr


def test_charge_loss_and_overrides_are_said(codesign: Run, tmp_path: Path) -> None:
    card = load_card("3nm").with_field("flips", "charge_loss").with_field("bit_planes.7.window_s", 1e-9)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(card.to_dict()))
    done = codesign("flip", "--device", tmp_path / "c.yaml")
    assert "only a charged cell flips" in done.stderr
    assert "base cell" in done.stderr
    shown = codesign("card", "show", tmp_path / "c.yaml").stdout
    assert "charge_loss" in shown
    assert "bit_planes.7.window_s" in shown
    assert shown.count("0.0999705") == 8


def test_long_tables_are_cut_on_screen_but_not_in_the_file(codesign: Run, tmp_path: Path) -> None:
    done = codesign("flip", "--device", "3nm", "--thickness", "1.7:2.2:300", "--csv", tmp_path / "x.csv")
    assert len(done.stdout.splitlines()) == 202
    assert "200 of 300" in done.stderr
    assert len(rows_of(tmp_path / "x.csv")) == 300


REFUSED = {
    "reversed": (["--thickness", "2.2:1.7:6"], ["--thickness", "does not increase"]),
    "nan": (["--thickness", "nan:2:3"], ["not a finite number"]),
    "infinite": (["--thickness", "1:inf:3"], ["not a finite number"]),
    "negative count": (["--thickness", "1.7:2:-3"], ["N is not a count"]),
    "no count": (["--thickness", "1.7:2:0"], ["N is not a count"]),
    "fraction": (["--thickness", "1.7:2:2.5"], ["N is not a count"]),
    "huge count": (["--thickness", "1.7:2:99999999999999999999999"], ["N is not a count"]),
    "one of two": (["--thickness", "1.7:2:1"], ["does not increase"]),
    "two of one": (["--thickness", "2:2:2"], ["does not increase"]),
    "list with text": (["--thickness", "1.75,thin"], ["thin is not a number"]),
    "text": (["--thickness", "thin"], ["thin is not a number"]),
    "empty": (["--thickness", ""], ["an empty part"]),
    "two parts": (["--thickness", "1:2"], ["not a range"]),
    "not log": (["--thickness", "1:2:3:lin"], ["not a range"]),
    "log of zero": (["--vary", "window_s=0:1:3:log"], ["--vary window_s", "positive"]),
    "outside validity": (["--thickness", "0.1"], ["validity", "0.5 <= thickness_nm <= 10"]),
    "unknown field": (["--vary", "barrier.heigth_eV=3:4:2"], ["barrier.height_eV"]),
    "field without effect": (["--vary", "storage.bits=4:8:5"], ["storage.bits", "does not change"]),
    "half electrons": (["--vary", "cell.electrons=50:51:3"], ["whole numbers", "50.5"]),
    "too few electrons": (["--vary", "cell.electrons=4:5:2"], ["flip_threshold"]),
    "no range": (["--vary", "window_s"], ["FIELD=A:B:N"]),
    "field twice": (["--vary", "window_s=1", "--vary", "window_s=2"], ["varied twice"]),
    "thickness twice": (["--thickness", "2", "--vary", "barrier.thickness_nm=1:2:2"], ["given twice"]),
    "too large": (["--thickness", "1:2:1001", "--vary", "window_s=1:2:1000"], ["too large", "1001000"]),
    "tail": (["--tail", "binom"], ["did you mean binomial"]),
    "csv folder": (["--csv", "/nowhere/at/all.csv"], ["--csv", "mkdir -p"]),
    "csv is a folder": (["--csv", "/"], ["--csv", "not a plain file"]),
    "csv is a device": (["--csv", "/dev/null"], ["--csv", "not a plain file"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, codesign: Run) -> None:
    arguments, texts = REFUSED[case]
    done = codesign("flip", "--device", "3nm", *arguments)
    assert done.code == 2
    assert done.stdout == ""
    for text in ["error: ", "next:", *texts]:
        assert text in done.stderr


def test_an_unwritable_path_is_refused_before_the_card_is_read(codesign: Run) -> None:
    assert "--csv" in codesign("flip", "--device", "no such card", "--csv", "/nowhere/x.csv").stderr


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.csv"
    file.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        write_csv(file, ["a"], [[1.0]], "--csv")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_field_of_a_region_can_vary(codesign: Run, tmp_path: Path) -> None:
    """The rows are about the cell of the region; a card whose base cell is that cell gives the same numbers."""
    region = "regions={embeddings: {tensors: [x], flips: charge_loss, cell: {electrons: 60}}}"
    done = codesign("flip", "--device", "3nm", "--set", region, "--vary",
                    "regions.embeddings.barrier.thickness_nm=1.8:2.0:3", "--csv", tmp_path / "x.csv")
    assert done.code == 0, done.stderr
    assert "the cell of region embeddings" in done.stderr
    assert "only a charged cell flips" in done.stderr
    like = flip_probability(load_card("3nm").with_field("cell.electrons", 60), np.array([1.8, 1.9, 2.0]))
    rows = rows_of(tmp_path / "x.csv")
    assert [float(row["flip_probability"]) for row in rows] == like.probability.tolist()
    assert [float(row["thickness_nm"]) for row in rows] == [1.8, 1.9, 2.0]
    mistyped = ["--vary", "regions.embedings.window_s=1"]
    for more, text in ((["--thickness", "1.8"], "given twice"), (mistyped, "did you mean regions.embeddings.window_s")):
        refused = codesign("flip", "--device", "3nm", "--set", region, "--vary",
                           "regions.embeddings.barrier.thickness_nm=1.8:2.0:3", *more)
        assert refused.code == 2
        assert text in refused.stderr


def test_a_region_that_keeps_its_thickness_takes_no_range(codesign: Run) -> None:
    region = "regions={embeddings: {tensors: [x], barrier: {thickness_nm: 2.0}}}"
    vary = ("flip", "--device", "3nm", "--set", region, "--vary", "regions.embeddings.window_s=1e-7:1e-6:2:log")
    assert codesign(*vary).code == 0
    refused = codesign(*vary, "--thickness", "1.8:2.0:3")
    assert refused.code == 2
    assert "the thickness is given twice" in refused.stderr


def test_steps_of_a_varied_field_are_the_numbers_a_reader_would_write(codesign: Run, tmp_path: Path) -> None:
    done = codesign("flip", "--device", "3nm", "--vary", "window_s=1e-9:1e-3:7:log", "--vary",
                    "barrier.height_eV=2.9:3.3:5", "--csv", tmp_path / "x.csv")
    assert done.code == 0, done.stderr
    cells = {(row["window_s"], row["barrier.height_eV"]) for row in rows_of(tmp_path / "x.csv")}
    assert {window for window, _ in cells} == {"1e-09", "1e-08", "1e-07", "1e-06", "1e-05", "0.0001", "0.001"}
    assert {height for _, height in cells} == {"2.9", "3.0", "3.1", "3.2", "3.3"}


def test_a_list_of_thicknesses(codesign: Run, tmp_path: Path) -> None:
    assert codesign("flip", "--device", "3nm", "--thickness", "1.75,1.8", "--csv", tmp_path / "x.csv").code == 0
    assert [float(row["thickness_nm"]) for row in rows_of(tmp_path / "x.csv")] == [1.75, 1.8]


def test_a_field_can_be_set(codesign: Run, tmp_path: Path) -> None:
    done = codesign("flip", "--device", "3nm", "--set", "window_s=1e-9", "--set", "cell.electrons=60", "--csv",
                    tmp_path / "x.csv")
    assert done.code == 0, done.stderr
    card = load_card("3nm").with_field("window_s", 1e-9).with_field("cell.electrons", 60)
    assert float(rows_of(tmp_path / "x.csv")[0]["flip_probability"]) == flip_probability(card).probability
    assert "1e-09" in codesign("card", "show", "3nm", "--set", "window_s=1e-9").stdout


def test_fields_are_set_all_at_once(codesign: Run) -> None:
    """Neither of these two is a card by itself: the electrons would lie below the old threshold, or above the new."""
    assert codesign("card", "check", "3nm", "--set", "cell.electrons=3", "--set", "cell.flip_threshold=1").code == 0


def test_ranges() -> None:
    assert parse_range("1.7:2.2:6", "x").tolist() == np.linspace(1.7, 2.2, 6).tolist()
    assert parse_range("1e-9:1e-3:7:log", "x") == pytest.approx([10.0**n for n in range(-9, -2)], rel=1e-14)
    assert parse_range("2:2:1", "x").tolist() == parse_range(" 2 ", "x").tolist() == [2.0]
    assert parse_fractions("0.01,5%, 1.1 %", "x") == (0.01, 0.05, 0.011)
    for bad in ("", "0.1,", "a", "0.1;0.2", "nan", "inf,1", "1_0", "%", "5%%", "1_0%", "nan%"):
        with pytest.raises(InputError):
            parse_fractions(bad, "--budget")
    with pytest.raises(InputError, match="more points than float64"):
        parse_range("1:1.0000000000000004:9", "x")


@pytest.mark.parametrize("command", [["flip"], ["card"], ["card", "list"], ["card", "show"], ["card", "check"]])
def test_help_ends_with_an_example(command: list[str], codesign: Run) -> None:
    done = codesign(*command, "--help")
    assert done.code == 0
    assert "codesign " in done.stdout
    assert command == ["card"] or "Example:" in done.stdout


def test_tables_take_any_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "[b]"], [["x", "[/b] 1"]], left=("name",))
    assert capsys.readouterr().out == "name     [b]\nx     [/b] 1\n"


def test_power_of_ten() -> None:
    assert power_of_ten(-1629.830125241902) == "1.4787e-1630"
    assert power_of_ten(math.log10(0.1)) == "0.1"
