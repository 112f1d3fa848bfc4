"""`--format`: every figure of the commands as PNG, SVG or PDF, the same bytes each time; PNG where nothing is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import qtaml_codesign as qc
from qtaml_codesign.errors import InputError
from qtaml_codesign.plots.saving import FORMATS, asked_figure, figure_path, save_figure
from tests.report_runs import finish

BEGINS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF-"}
SWEEP = ("--device", "3nm", "--workers", 1, "--budget", "0.25", "--method", "tac")


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_figure_is_what_its_format_says_and_the_same_each_time(kind, tmp_path):
    written = []
    for name in ("one", "two"):
        figure = Figure(figsize=(2, 2))
        figure.add_subplot().plot([1, 2], [1, 3])
        save_figure(figure, tmp_path / f"{name}.{kind}")
        written.append((tmp_path / f"{name}.{kind}").read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(BEGINS[kind])
    assert b"Matplotlib" not in written[0]
    assert b"CreationDate" not in written[0]


@pytest.mark.usefixtures("rendered")
def test_png_is_as_it_was_before_there_was_a_choice(tmp_path):
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot([1, 2], [1, 3])
    figure.savefig(tmp_path / "before.png", dpi=150, format="png", metadata={"Software": None})
    save_figure(figure, tmp_path / "now.png")
    assert (tmp_path / "now.png").read_bytes() == (tmp_path / "before.png").read_bytes()


@pytest.mark.parametrize("command", ["sweep", "frontier"])
def test_the_figure_of_a_sweep_has_the_format(codesign, tiny_source, tmp_path, command):
    more = ("--trials", 2, "--thickness", "1.75:1.9:3", "--no-refine") if command == "sweep" else ("--max-trials", 4)
    asked = (command, *SWEEP, "--workload", tiny_source, *more, "--out", tmp_path)
    done = codesign(*asked, "--format", "svg")
    assert done.code == 0, done.stderr
    assert (tmp_path / "frontier.svg").exists()
    assert not (tmp_path / "frontier.png").exists()
    assert "frontier.svg" in done.stdout
    record = json.loads((tmp_path / "run.json").read_text())
    assert codesign(*asked).code == 0  # another figure is no other run: its tables stay where they are
    assert (tmp_path / "frontier.png").exists()
    assert not (tmp_path / "frontier.svg").exists()
    assert not (tmp_path / "earlier").exists()
    assert json.loads((tmp_path / "run.json").read_text())["options"] == record["options"]


def test_a_family_and_a_design_have_it_too(codesign, tiny_source, tmp_path):
    family = codesign("sweep", *SWEEP, "--workload", tiny_source, "--trials", 2, "--thickness", "1.75:1.9:2",
                      "--no-refine", "--vary", "window_s=1e-7,1e-6", "--format", "pdf", "--out", tmp_path / "family")
    assert family.code == 0, family.stderr
    assert {path.name for path in (tmp_path / "family").glob("frontier.*")} == {"frontier.csv", "frontier.pdf"}
    assert len(list((tmp_path / "family").glob("*/frontier.pdf"))) == 2
    made = codesign("design", "--device", "3nm", "--workload", tiny_source, "--budget", "0.25", "--max-trials", 4,
                    "--workers", 1, "--format", "svg", "--out", tmp_path / "design")
    assert made.code == 0, made.stderr
    assert (tmp_path / "design" / "tornado.svg").exists()
    assert (tmp_path / "design" / "frontier.svg").exists()
    assert list((tmp_path / "design").glob("*.png")) == []


def test_retention_and_calibration(codesign, tmp_path):
    done = codesign("retention", "--device", "3nm", "--plot", tmp_path / "flips", "--format", "svg")
    assert done.code == 0, done.stderr
    assert (tmp_path / "flips.svg").exists()
    card = qc.load_card("3nm")
    times = [1e-7, 1e-6, 1e-5]
    rows = [f"{time!r},{qc.flip_probability(card.with_field('window_s', time)).probability!r}" for time in times]
    (tmp_path / "data.csv").write_text("\n".join(["time_s,bit_error_rate", *rows]) + "\n")
    done = codesign("calibrate", "--card", "3nm", "--data", tmp_path / "data.csv", "--out", tmp_path / "new.yaml",
                    "--format", "pdf")
    assert done.code == 0, done.stderr
    assert (tmp_path / "new.pdf").exists()


@pytest.mark.parametrize(("asked", "words"), [
    (("retention", "--device", "3nm", "--format", "svg"), "no figure is asked for"),
    (("retention", "--device", "3nm", "--plot", "a.png", "--format", "svg"), "does not say its format"),
    (("retention", "--device", "3nm", "--plot", "a.tiff"), "ends in .png, .svg or .pdf"),
    (("sweep", "--device", "3nm", "--format", "gif"), "unknown figure format"),
])
def test_what_cannot_be_is_refused(codesign, tmp_path, monkeypatch, asked, words):
    monkeypatch.chdir(tmp_path)
    done = codesign(*asked)
    assert done.code == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names():
    assert asked_figure(None, None) is None
    assert figure_path(Path("a.PDF"), None) == Path("a.PDF")
    with pytest.raises(InputError):
        figure_path(Path("a.svg"), "png")


def test_python_takes_it_too(tmp_path, tiny_workload):
    finish(tmp_path, tiny_workload, figure_format="pdf", budgets=[0.25], methods=["tac"])
    assert (tmp_path / "frontier.pdf").exists()
    with pytest.raises(InputError, match="figure format"):
        qc.sweep(tiny_workload, "3nm", figure_format="gif")
