"""Names of codes, laws that are kept in a folder, and which codes suffice."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qtaml_codesign.ecc.code import Code
from qtaml_codesign.ecc.column_code import ColumnCode, secded
from qtaml_codesign.ecc.family import CODES, best_codes, named_code
from qtaml_codesign.ecc.kept_laws import kept_law
from qtaml_codesign.errors import InputError

FAST = [name for name in CODES if not name.startswith(("ldpc", "bch-1023"))]


@pytest.mark.parametrize("name", CODES)
def test_every_name_is_that_of_its_code(name: str) -> None:
    code = named_code(name)
    assert code.name == name
    assert [str(code.n), str(code.k)] == name.split("-")[1:3] or name == f"repetition-{code.n}"
    assert hash(code) == hash(pickle.loads(pickle.dumps(code)))
    assert code == pickle.loads(pickle.dumps(code))


@pytest.mark.parametrize("name", ["repetition-4", "hamming-7-3", "secded-72-63", "bch-127-64-9", "bch-127-64", "turbo",
                                  "ldpc-9600-x", "repetition", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no code of this name"):
        named_code(name)


@pytest.mark.parametrize("name", [name for name in CODES if "9600" not in name or name.endswith(("4368", "8304"))])
def test_every_named_code_gives_back_what_nothing_flipped(name: str) -> None:
    code = named_code(name)
    data = np.random.default_rng(0).integers(0, 2, (5, code.k), dtype=np.uint8)
    words = code.encode(data)
    assert (words.shape, words.dtype) == ((5, code.n), np.uint8)
    found = code.decode(words, 0.01)
    assert (found.bits == data).all()
    assert not found.failed.any()


def test_a_law_is_measured_once(tmp_path: Path) -> None:
    first = kept_law(secded(64), 0.01, tmp_path / "laws", words=500, seed=3)
    (file,) = (tmp_path / "laws").iterdir()
    content = json.loads(file.read_text())
    assert (content["wrong"], content["seed"], content["rates"]) == (first.counts.wrong, 3, [0.01, 0.01])
    file.write_text(json.dumps(content | {"reported": 0}))
    again = kept_law(secded(64), 0.01, tmp_path / "laws", words=500, seed=3)
    assert again == replace(first, counts=replace(first.counts, reported=0))


def test_a_file_of_an_earlier_version_keeps_its_counts(tmp_path: Path) -> None:
    """It holds the error patterns of lost words beside them."""
    first = kept_law(secded(64), 0.01, tmp_path, words=500)
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"patterns": ["03" * 8], "wrong_bits": 1200}))
    assert kept_law(secded(64), 0.01, tmp_path, words=500) == replace(first, counts=replace(
        first.counts, wrong_bits=1200))


@pytest.mark.parametrize("other", [{"words": 501}, {"seed": 4}, {"flip_probability": 0.02},
                                   {"flip_probability": (0.0, 0.01)}, {"code": secded(32)}])
def test_another_law_is_another_file(tmp_path: Path, other: dict) -> None:
    asked = {"code": secded(64), "flip_probability": 0.01, "words": 500, "seed": 3}
    kept_law(**asked, folder=tmp_path)
    kept_law(**(asked | other), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_graph_of_the_same_name_is_another_law(tmp_path: Path) -> None:
    """Two columns of the checks swapped: the same name and sizes, other codewords."""
    code = secded(64)
    kept_law(code, 0.01, tmp_path, words=100)
    swapped = ColumnCode(code.family, code.checks, (code.columns[1], code.columns[0], *code.columns[2:]))
    kept_law(swapped, 0.01, tmp_path, words=100)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"code": "secded-72-64"}', "\xff",
                                  '{"words": 1, "wrong": 2, "wrong_bits": 2, "reported": 0, "share": 1.0, "seed": 0}'])
def test_a_torn_file_is_measured_again(tmp_path: Path, torn: str) -> None:
    first = kept_law(secded(64), 0.01, tmp_path, words=300)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_text(torn, encoding="latin-1")
    again = kept_law(secded(64), 0.01, tmp_path, words=300)
    assert (again, file.read_bytes()) == (first, whole)


def test_a_folder_that_cannot_be_made_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    code = named_code("hamming-7-4")
    here, there = (kept_law(code, 0.05, folder, 100) for folder in (tmp_path / "kept", tmp_path / "taken" / "below"))
    assert here == there
    assert len(list((tmp_path / "kept").iterdir())) == 1


def beats(one: Code, other: Code) -> bool:
    return one is not other and one.cells_per_bit <= other.cells_per_bit and one.n <= other.n and one.cost.latency in (
        "combinational", other.cost.latency)


def test_the_best_codes_suffice_and_none_beats_another(tmp_path: Path) -> None:
    found = best_codes(0.01, 1e-4, tmp_path, FAST)
    assert all(rated.law.expected.bit <= 1e-4 for rated in found)
    assert [rated.code.cells_per_bit for rated in found] == sorted(rated.code.cells_per_bit for rated in found)
    assert not any(beats(one.code, other.code) for one in found for other in found)
    assert [rated.code.name for rated in found][-1] == "repetition-5"  # 10 p^3 leaves 1e-5, three copies 3e-4


def test_the_limit_decides(tmp_path: Path) -> None:
    names = ["repetition-1", "repetition-3", "secded-72-64"]
    assert [rated.code.name for rated in best_codes(0.01, 0.02, tmp_path, names)] == ["repetition-1"]
    assert [rated.code.name for rated in best_codes(1e-4, 1e-6, tmp_path, names)] == ["secded-72-64", "repetition-3"]
    assert best_codes(0.4, 1e-3, tmp_path, names) == []
    with pytest.raises(InputError, match="next:"):
        best_codes(0.1, 0.0, tmp_path, names)
