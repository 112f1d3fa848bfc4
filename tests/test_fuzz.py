"""A quick share of the fuzzers (`make fuzz` runs all of it), and that a fuzzer sees what it is made to see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qtaml_codesign as qc
from qtaml_codesign.card_schema.card import DeviceCard
from qtaml_codesign.checks import number_within, plain_array, several
from qtaml_codesign.commands.ranges import parse_ends, parse_fractions, parse_range
from qtaml_codesign.errors import CodesignError, InputError, PlanError, shorten
from qtaml_codesign.nets.usercode import user_code
from tests.fuzz.all import FUZZERS
from tests.fuzz.running import Ended, faults, faults_of_tables

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)
FIELDS = ("schema_version", "name", "barrier", "cell", "window_s", "storage", "flips", "sweep", "validity", "regions",
          "bit_planes", "sources", "description")
QUICK = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@pytest.mark.parametrize("name", FUZZERS)
def test_quick_share(name: str, tmp_path: Path) -> None:
    found = {}
    for case in range(FUZZERS[name].quick):
        (tmp_path / str(case)).mkdir()
        found[case] = FUZZERS[name].run_case(0, case, tmp_path / str(case))
    assert not {case: faults for case, faults in found.items() if faults}


def test_all_protected_is_told_without_nan(codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plan = tmp_path / "plan.json"
    qc.plan(tiny, method="uniform-msp", flip_probability=0.1, budget=1.0).save(plan)
    done = codesign("evaluate", "--workload", tiny, "--plan", plan, "--flip-probability", 0.1, "--trials", 2)
    assert "bit error rate:       none" in done.stdout
    assert faults(Ended(done.code, done.stdout, done.stderr)) == []


def test_a_broken_answer_is_seen(tmp_path: Path) -> None:
    good = "error: a\n  where: b\n  rule:  c\n  value: d\n  next:  e\n"
    assert faults(Ended(2, "", good)) == faults(Ended(0, "accuracy 0.5, nanometres", "")) == []
    assert faults(Ended(2, "", "Usage: codesign\n")) == []
    assert len(faults(Ended(2, "", "error: a"))) == 4
    for bad in (Ended(1, "", ""), Ended(0, "accuracy nan", ""), Ended(0, "[0.5, nan]", ""), Ended(2, "", good * 2),
                Ended(2, "", good + "Traceback (most recent call last)"), Ended(2, "", good + "x" * 5000)):
        assert faults(bad)
    (tmp_path / "sweep.csv").write_text("accuracy,realised_ber\n0.5,nan\nnan,0.1\n")
    assert faults_of_tables(tmp_path) == ["sweep.csv: accuracy is nan"]


@QUICK
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON, max_size=6))
def test_any_mapping_is_a_card_or_a_card_error(raw: dict[str, object]) -> None:
    with pytest.raises(CodesignError) as caught:  # without barrier and cell none of them can be one
        DeviceCard(**raw)
    assert all((caught.value.what, caught.value.where, caught.value.rule, caught.value.next_step))


@QUICK
@given(st.text(alphabet="0123456789.:,eE+-_ %nainflog\u0665") | st.text())
def test_any_text_is_a_range_of_finite_numbers_or_an_input_error(text: str) -> None:
    for parse in (parse_range, parse_fractions, parse_ends):
        try:
            numbers = np.asarray(parse(text, "--option"))
        except InputError:
            continue
        assert numbers.size
        assert np.isfinite(numbers).all()


@QUICK
@given(JSON)
def test_any_json_is_no_plan_but_a_plan_error(content: object) -> None:
    with pytest.raises(PlanError):
        qc.TacPlan.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, '{"layers":' * 100_000])
def test_numbers_and_nesting_without_end_are_no_plan(text: str) -> None:
    with pytest.raises(PlanError):
        qc.TacPlan.from_json(text)


@pytest.mark.parametrize("path", ["a" * 5000, "~nobody-of-this-name/x.yaml", "a\0b.yaml", "a" * 5000 + "/x.yaml"])
def test_paths_that_no_system_takes(path: str) -> None:
    for read in (qc.load_card, qc.TacPlan.load, lambda path: qc.load_workload(path + ".py:make")):
        with pytest.raises(CodesignError) as caught:
            read(path)
        assert len(str(caught.value)) < 4000


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


def test_what_cannot_be_shown_is_named_by_its_type() -> None:
    assert shorten(Mute()) == "Mute that cannot be shown: ZeroDivisionError"
    with pytest.raises(CodesignError, match="it failed: Mute: Mute that cannot be shown"), \
            user_code("it failed", "here", "it works", "repair it", "nothing"):
        raise Mute
    with pytest.raises(CodesignError) as caught, user_code("it failed", "here", "it works", "repair it", "nothing"):
        raise ValueError("long\n" * 10_000)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("failure", [SystemExit(0), GeneratorExit(), BaseException("all"), StopIteration()])
def test_whatever_the_code_of_the_user_raises_is_an_error(failure: BaseException) -> None:
    with pytest.raises(CodesignError, match=type(failure).__name__), \
            user_code("it failed", "here", "it works", "repair it", "nothing"):
        raise failure
    with pytest.raises(KeyboardInterrupt), user_code("it failed", "here", "it works", "repair it", "nothing"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("value", [[1, [2, 3]], torch.zeros(2, requires_grad=True), torch.zeros(2, device="meta"),
                                   np.ma.masked_array([1.7, 1.8], mask=[True, False])])
def test_what_is_no_array_is_an_input_error(value: object) -> None:
    for call in (lambda: plain_array("x", value, "numbers", "give numbers"), lambda: qc.flip_probability("3nm", value),
                 lambda: qc.flip_probability_of_cells("3nm", value), lambda: qc.read_back(value, 0.1)):
        with pytest.raises(InputError):
            call()


def test_huge_whole_numbers_are_out_of_bounds() -> None:
    for huge in (10**400, -(10**400)):
        with pytest.raises(InputError):
            number_within("budget", huge, 0.0, 1.0, "0 <= budget <= 1", "give a share")


def test_one_item_is_a_list_of_one() -> None:
    assert several(np.float64(0.1)) == (0.1,)
    assert several(np.array([0.1, 0.2])) == (0.1, 0.2)
    assert several(np.array(0.1)) == (np.array(0.1),)
