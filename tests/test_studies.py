"""Every study at smoke size: its outputs, the claims that this size can decide, resuming; and the page made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import beyond
import interval_coverage
import physics
import qtaml_codesign as qc
from lab import cases as lab_cases
from lab import stores as lab_stores
from lab import study as lab_study
from lab.study import Scale
from qtaml_codesign.ecc import family
from reproduction import STUDIES, study_of, write_page
from tests.conftest import sketch

EVERY = (*STUDIES, *beyond.STUDIES, *physics.STUDIES)
SCRIPTS = Path(__file__).parent.parent / "studies"
DRAWN_AGAIN = ("mismatch", "saturation", "allocation")
"""Studies whose figures are rendered twice, in both formats; all others save theirs, as SVG, by the same function."""

pytestmark = pytest.mark.usefixtures("rendered")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


def test_every_script_is_listed() -> None:
    scripts = {path.stem for path in SCRIPTS.glob("*.py")} - {"reproduction", "beyond", "physics", "train_zoo"}
    assert scripts == set(EVERY)


@pytest.fixture(scope="module", autouse=True)
def few_searches(request: pytest.FixtureRequest) -> Iterator[None]:
    """At smoke size nothing is claimed of adaptive trials and of searches: that they run is seen in few of them."""
    few = {"trials": {"population": 120, "draws": [2000, 20]}, "search": {"population": 12, "draws": [6]}}

    def cases(scale: Scale) -> list[dict[str, object]]:
        return [case | few[case["kind"]] for case in every(scale)]

    every = interval_coverage.STUDY.cases
    with pytest.MonkeyPatch.context() as patch:
        if not request.config.getoption("full"):
            patch.setattr(interval_coverage, "STUDY", replace(interval_coverage.STUDY, cases=cases))
        yield


@pytest.fixture(scope="module", autouse=True)
def one_code() -> Iterator[None]:
    """At smoke size the code that a memory would choose is the only one looked at: to measure all takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "CODES", ("ldpc-9600-4368",))
        yield


@pytest.mark.parametrize("name", EVERY)
def test_smoke(
    name: str, outputs: Path, render: Callable[..., None], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_format(figure: Figure, place: Path, **options: object) -> None:
        (render if place.suffix == ".svg" else sketch)(figure, place, **options)

    if name not in DRAWN_AGAIN:
        monkeypatch.setattr(Figure, "savefig", one_format)
    study = study_of(name)
    study.main(["--smoke", "--out", str(outputs)])
    folder = outputs / "smoke" / name
    record = json.loads((folder / "claims.json").read_text())
    verdicts = {claim["key"]: claim["verdict"] for claim in record["claims"]}
    assert len(verdicts) == len(record["claims"]), "two claims with one key"
    assert study.decided_by_smoke, "a study whose smoke version decides nothing tests nothing"
    assert {key: verdicts.get(key) for key in study.decided_by_smoke} == dict.fromkeys(study.decided_by_smoke, "agrees")
    assert all(claim["because"] for claim in record["claims"] if claim["verdict"] == "differs")
    assert len(pd.read_csv(folder / f"{name}.csv")) > 0
    assert (folder / f"{name}.md").read_text().count("|") > 10
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG" if name in DRAWN_AGAIN else b"({")
    assert b"<svg" in (folder / f"{name}.svg").read_bytes()[:1000]
    assert study.name == name
    assert "written:" in capsys.readouterr().out


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_measured_twice(name: str, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `test_smoke`: the second run takes every row from the first and writes the same bytes.

    The pictures too, where they are drawn again; the other studies draw them from the same table by the same functions.
    """
    folder = outputs / "smoke" / name
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(lab_cases, "in_parallel", lambda title, work, jobs, folder, workers: iter(_none(jobs)))
    if name not in DRAWN_AGAIN:
        monkeypatch.setattr(lab_study, "save", lambda figure, stem: None)
    study_of(name).main(["--smoke", "--out", str(outputs)])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _none(jobs: dict[str, object]) -> list[tuple[str, object]]:
    assert not jobs, f"{len(jobs)} cases would be measured again"
    return []


def test_the_page_holds_every_claim_and_figure(outputs: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    write_page(outputs / "smoke", page)
    text = page.read_text()
    for name in STUDIES:
        record = json.loads((outputs / "smoke" / name / "claims.json").read_text())
        for claim in record["claims"]:
            assert claim["statement"].replace("|", "\\|") in text
        lines = [line for line in text.splitlines() if line.endswith(f"[{name}](#{name}) |")]
        assert [line.split(" | ")[-2] for line in lines] == [claim["kind"] for claim in record["claims"]]
        assert f"python studies/{name}.py" in text
    for link in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (page.parent / link).exists()


def test_the_published_page_is_that_of_these_studies() -> None:
    """Every study has its section in docs/reproduction.md, at full scale, and every `differs` its evidence."""
    text = (SCRIPTS.parent / "docs" / "reproduction.md").read_text()
    sections = re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)
    assert sections == list(STUDIES)
    seeds = [int(count) for count in re.findall(r"(\d+) training seeds x \d+ trials", text)]
    trials = [int(count) for count in re.findall(r"\d+ training seeds x (\d+) trials", text)]
    assert len(seeds) >= 8
    assert min(seeds) >= 3
    assert min(trials) >= 30
    assert text.count("| **differs** |") == text.count("**Differs: ")


def test_the_marked_blocks_of_a_page_hold_what_was_measured(outputs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = "".join(f"by hand {name}\n<!-- measured: {name} -->\nsuperseded {name}\n<!-- end -->\n"
                    for name in ("goals", *beyond.STUDIES))
    page.write_text(marks)
    beyond.write_page(outputs / "smoke", page)
    text = page.read_text()
    assert "superseded" not in text
    assert text.count("by hand ") == text.count("<!-- end -->") == 1 + len(beyond.STUDIES)
    for name in beyond.STUDIES:
        record = json.loads((outputs / "smoke" / name / "claims.json").read_text())
        assert all(claim["statement"] in text and claim["figure"] in text for claim in record["claims"])
        assert (outputs / "smoke" / name / f"{name}.md").read_text().partition("\n\n")[2].strip() in text
        assert (page.parent / f"page/{name}.png").exists()
    beyond.write_page(outputs / "smoke", page)
    assert page.read_text() == text
    page.write_text("<!-- measured: nothing -->\n<!-- end -->\n")
    with pytest.raises(KeyError, match="nothing"):
        beyond.write_page(outputs / "smoke", page)


def test_the_page_past_the_paper_is_at_full_scale() -> None:
    text = (SCRIPTS.parent / "docs" / "beyond.md").read_text()
    for name in beyond.STUDIES:
        study = study_of(name)
        networks = "the shipped network" if study.most_seeds == 1 else "5 training seeds"
        assert f"(`python studies/{name}.py`, {study.sample or f'{networks} x 30 trials'})" in text
        assert (SCRIPTS.parent / f"docs/beyond/{name}.png").exists()
    assert set(re.findall(r"<!-- measured: (\w+) -->", text)) == {"goals", *beyond.STUDIES}
    assert text.count("| **missed** |") == len(re.findall(r"^Missed: ", text, flags=re.MULTILINE))


def test_least_errors_of_rows_that_shrink_together() -> None:
    """Against a constrained optimiser that knows nothing of water levels."""
    from scipy.optimize import minimize

    losses, sizes, coherence = np.array([5.0, 1.0, 0.2]), np.array([2.0, 3.0, 4.0]), np.array([1.0, 20.0, 3.0])

    def price(rates: np.ndarray) -> float:
        lost = 4.0**-rates
        return float((sizes * losses * (lost + (coherence - 1.0) * lost**2)).sum())

    found = lab_stores.least_errors(losses, sizes, coherence, 6.0)
    spent = {"type": "eq", "fun": lambda rates: (sizes * rates).sum() - 6.0}
    best = minimize(price, np.full(3, 6.0 / 9.0), bounds=[(0.0, None)] * 3, constraints=[spent], tol=1e-12)
    np.testing.assert_allclose(found, 4.0**-best.x, rtol=1e-3)


def test_a_reader_at_the_limit_errs_as_much_as_the_floor_says() -> None:
    """A network without errors that add up, in all but their sum: the weighted error of 40 readings is the floor's."""
    workload = qc.load_workload("small-cnn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab_stores, "coherences_of", lambda workload: dict.fromkeys(workload.weights, 1.0))
        read = lab_stores.reader_at_the_limit(workload, 0.10, 3.0, 0, "test")
        errors = [lab_stores.weighted_error(workload, read(trial)) for trial in range(40)]
    assert np.mean(errors) == pytest.approx(lab_stores.floor_at(workload, 0.10, 3.0), rel=0.02)


def test_a_protected_bit_costs_the_cells_of_its_code() -> None:
    plan = qc.plan("small-cnn", "uniform-msp", 0.1, 0.25)
    assert lab_stores.honest_cells(plan, 0.1) == pytest.approx(6.0 + 2.0 * 9600 / 4368)
    assert lab_stores.honest_cells(qc.plan("small-cnn", "none", 0.1), 0.1) == 8.0


def test_no_comparison_stands_on_the_page_twice(outputs: Path) -> None:
    """The lead over Uniform-MSP at p = 0.10 under uniform flips belongs to section 5.2 alone."""
    keys = [claim["key"] for name in ("accuracy_vs_overhead", "mismatch", "noise_models")
            for claim in json.loads((outputs / "smoke" / name / "claims.json").read_text())["claims"]]
    same = [key for key in keys if key.endswith(("beats-larger", "ahead-uniform", "uniform-0.1"))]
    assert same == ["5.2-beats-larger"]


def test_what_is_no_claim_of_the_paper_is_marked(outputs: Path) -> None:
    kinds = {claim["key"]: claim["kind"] for name in STUDIES
             for claim in json.loads((outputs / "smoke" / name / "claims.json").read_text())["claims"]}
    assert {key for key, kind in kinds.items() if kind == "identity"} >= {"5.4-corner", "5.4-realistic"}
    ours = {key for key, kind in kinds.items() if kind == "ours"}
    assert ours >= {"C-tuning-small-cnn", "C-tuning-helps-small-cnn", "5.9-reverse", "C.1-unprotected"}
