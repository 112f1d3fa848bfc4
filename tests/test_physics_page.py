"""docs/physics.md: its snippets are cards, do to p_flip what they say, and leave no effect out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import physics
import qtaml_codesign as qc
from lab.effects import A_nm, B_nm
from physics_effects import same
from qtaml_codesign.barriers.registry import BARRIERS
from qtaml_codesign.card_schema.effects import AccessLeakage, Escape, Traps, Variation
from qtaml_codesign.card_schema.parts import Transmission
from reproduction import study_of
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "physics.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
STATED = re.compile(r"# p_flip x ([\d.e-]+) at 1\.765 nm, x ([\d.e-]+) at 2\.12 nm")
PLAIN = {
    "barrier": "{height_eV: 3.10, electron_energy_eV: 0.05, effective_mass_m0: 0.40, thickness_nm: 1.765}",
    "cell": "{electrons: 50, flip_threshold: 4, attempt_frequency_Hz: 2.4e+13}", "window_s": "1.0e-06",
}


def card_of(snippet: str, folder: Path) -> qc.DeviceCard:
    """The 3nm card with what a snippet replaces."""
    replaced = set(re.findall(r"^(\w+):", snippet, re.MULTILINE))
    kept = "".join(f"{part}: {text}\n" for part, text in PLAIN.items() if part not in replaced)
    path = folder / "card.yaml"
    path.write_text(f"schema_version: 1\nname: page\n{kept}{snippet}", encoding="utf-8")
    return qc.load_card(path)


def factors(card: qc.DeviceCard) -> np.ndarray:
    places = np.array([A_nm, B_nm])
    beside = qc.flip_probability("3nm", places).log_probability
    return np.asarray(np.exp(qc.flip_probability(card, places).log_probability - beside))


def test_the_base_of_the_snippets_is_the_3nm_card(tmp_path: Path) -> None:
    assert factors(card_of("", tmp_path)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_a_card_that_does_what_it_says(snippet: str, tmp_path: Path) -> None:
    found = factors(card_of(snippet, tmp_path))
    assert np.all(np.abs(found - 1.0) > 1e-3), "the snippet switches nothing on"
    for stated in STATED.findall(snippet):
        assert all(same(value, text) for value, text in zip(found, stated, strict=True)), found


def test_most_snippets_say_what_they_do() -> None:
    assert len(SNIPPETS) >= 14
    assert len([snippet for snippet in SNIPPETS if not STATED.search(snippet)]) <= 2  # a stack; a spread, told below it


@pytest.mark.parametrize("part", [Escape, Traps, AccessLeakage, Variation])
def test_every_effect_of_a_card_is_on_the_page(part: Any) -> None:
    shown = " ".join([*SNIPPETS, PAGE])
    assert [name for name in part.model_fields if name not in shown] == []


def test_every_shape_and_transmission_is_on_the_page() -> None:
    shown = set(re.findall(r"model: (\w+)", " ".join(SNIPPETS)))
    assert set(BARRIERS) - {"rectangular"} <= shown
    assert all(f"transmission: {name}" in PAGE for name in get_args(Transmission) if name != "wkb")


def test_every_model_has_its_validity_and_its_source() -> None:
    models = [part for part in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:] if "```yaml" in part]
    assert len(models) >= 14
    lacking = [part.splitlines()[0] for part in models if "Source: " not in part and "Any profile" not in part]
    assert lacking == []


def test_the_measured_blocks_are_those_of_the_studies() -> None:
    assert set(re.findall(r"<!-- measured: (\w+) -->", PAGE)) == set(physics.STUDIES)
    for name in physics.STUDIES:
        assert f"(`python studies/{name}.py`, {study_of(name).sample})" in PAGE
        assert (ROOT / f"docs/physics/{name}.png").exists()
    assert re.findall(r"^(?:Missed|Open): .*$", PAGE, re.MULTILINE) == [
        line for line in PAGE.splitlines() if line.startswith("Missed: ignoring the spread")]


def test_together_and_alone_stand_as_measured() -> None:
    """The ranking has both together in its order, and each alone below it with its warning."""
    rows = re.findall(r"^\| (.*?) \| x .*? \| x .*? \| ([+-][\d.]+) \| (\S.*?) \|$", PAGE, re.MULTILINE)
    labels = {label: (common, rare) for label, common, rare in rows}
    assert labels["bias 0.65 V and prefactor"][0] == "+23"
    assert [label for label, *_ in rows[-2:]] == ["prefactor, alone: **not without the other**",
                                                  "bias 0.65 V, alone: **not without the other**"]
    assert (labels[rows[-2][0]][0], labels[rows[-1][0]][0]) == ("-193", "+103")
    sizes = [abs(float(common)) for _, common, _ in rows[:-2]]
    assert sizes == sorted(sizes, reverse=True)
