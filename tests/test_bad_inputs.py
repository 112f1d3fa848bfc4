"""Bad input of every kind: exit code 2, one readable message with what, where, rule, value and next step, no traceback.

Each case names words that only the right message contains: the field or option at fault and the value given.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_inputs import (
    NET,
    Case,
    bad_card,
    change,
    folder_is_a_file,
    foreign_database,
    linear,
    plan_file,
    plan_with,
    raw_card,
    store_with,
    sweep_with,
    truncated,
    workload_text,
)
from tests.conftest import ROOT

CASES: dict[str, tuple[Case, list[str]]] = {
    # cards
    "card: unknown key": (bad_card(barrier__heigth_eV=3.1), ["barrier.heigth_eV", "height_eV"]),
    "card: negative thickness": (bad_card(barrier__thickness_nm=-1.0), ["barrier.thickness_nm", "-1.0"]),
    "card: thickness in metres": (bad_card(barrier__thickness_nm=1.765e-9), ["barrier.thickness_nm", "nanomet"]),
    "card: text for a number": (bad_card(barrier__height_eV="three"), ["barrier.height_eV", "three"]),
    "card: NaN": (bad_card(barrier__effective_mass_m0=float("nan")), ["barrier.effective_mass_m0", "nan"]),
    "card: infinite": (bad_card(window_s=float("inf")), ["window_s", "inf"]),
    "card: window of zero": (bad_card(window_s=0.0), ["window_s", "0"]),
    "card: half an electron": (bad_card(cell__electrons=50.5), ["cell.electrons", "50.5"]),
    "card: threshold above electrons": (bad_card(cell__flip_threshold=50), ["flip_threshold", "50"]),
    "card: energy above the barrier": (bad_card(barrier__electron_energy_eV=3.2), ["electron_energy_eV", "3.2"]),
    "card: missing field": (bad_card(cell__attempt_frequency_Hz=None), ["cell.attempt_frequency_Hz"]),
    "card: unknown encoding": (bad_card(storage__encoding="gray"), ["storage.encoding", "gray"]),
    "card: 17 bits": (bad_card(storage__bits=17), ["storage.bits", "17"]),
    "card: newer schema": (bad_card(schema_version=2), ["schema_version", "2"]),
    "card: plane that is not stored": (bad_card(bit_planes={8: {"window_s": 1e-7}}), ["bit_planes", "8"]),
    "card: reversed sweep range": (bad_card(sweep__thickness_nm=[2.2, 1.7]), ["sweep.thickness_nm"]),
    "card: boolean": (bad_card(barrier__height_eV=True), ["barrier.height_eV", "true"]),
    "card: empty file": (raw_card(b""), ["raw.yaml", "empty"]),
    "card: list": (raw_card(b"- 1\n- 2\n"), ["raw.yaml"]),
    "card: broken YAML": (raw_card(b"barrier: {height_eV: 3.1\n"), ["raw.yaml"]),
    "card: binary": (raw_card(bytes(range(256))), ["raw.yaml"]),
    "card: truncated": (
        raw_card((ROOT / "devices" / "3nm.yaml").read_bytes()[:300]), ["raw.yaml"],
    ),
    "card: unknown name": (lambda folder, tiny: ["card", "show", "3mn"], ["3mn", "3nm"]),
    "card: a folder": (lambda folder, tiny: ["card", "check", folder], ["card"]),
    # physics
    "flip: reversed range": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--thickness", "2.2:1.7:5"], ["--thickness", "2.2:1.7:5"],
    ),
    "flip: range without points": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--thickness", "1.7:2.2:0"], ["--thickness", "1.7:2.2:0"],
    ),
    "flip: thickness outside validity": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--thickness", "5000"], ["5000"],
    ),
    "flip: unknown field": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--vary", "windows=1e-7:1e-6:3"], ["windows", "window_s"],
    ),
    "flip: log of a negative": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--vary", "window_s=-1:1:3:log"], ["--vary", "-1:1:3:log"],
    ),
    "flip: unwritable CSV": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--csv", folder / "missing" / "f.csv"], ["f.csv"],
    ),
    # workloads
    "workload: unknown zoo name": (
        lambda folder, tiny: ["plan", "--workload", "small-cn", "--flip-probability", 0.1], ["small-cn", "small-cnn"],
    ),
    "workload: missing file": (
        lambda folder, tiny: ["plan", "--workload", "nowhere.py:make", "--flip-probability", 0.1], ["nowhere.py"],
    ),
    "workload: no such factory": (
        lambda folder, tiny: ["plan", "--workload", tiny + "r", "--flip-probability", 0.1], ["maker", "make"],
    ),
    "workload: syntax error": (workload_text("def make(:\n"), ["bad.py"]),
    "workload: factory raises": (workload_text("def make():\n    raise KeyError('lost')\n"), ["lost", "bad.py"]),
    "workload: wrong type": (workload_text("def make():\n    return 3\n"), ["make", "Workload"]),
    "workload: NaN weights": (
        workload_text(
            NET + "def make():\n    m = torch.nn.Linear(4, 3)\n    m.weight.data[0, 0] = float('nan')\n"
            "    return qc.Workload(model=m, calibration=x, evaluation=(x, y))\n"
        ),
        ["weight", "finite"],
    ),
    "workload: nothing to store": (
        workload_text(
            NET + "def make():\n    return qc.Workload(model=torch.nn.ReLU(), calibration=x, evaluation=(x, y))\n"
        ),
        ["tensor"],
    ),
    "workload: labels of another length": (
        linear("calibration=x, evaluation=(x, y[:5])"),
        ["label", "5"],
    ),
    "workload: empty evaluation": (
        linear("calibration=x, evaluation=(x[:0], y[:0])"),
        ["evaluation"],
    ),
    "workload: pattern without a match": (
        linear("calibration=x, evaluation=(x, y), tensors=('wieght',)"),
        ["wieght", "weight"],
    ),
    # plans
    "plan: budget as a percentage": (plan_with("--budget", 5), ["budget", "5", "0.05"]),
    "plan: budget of NaN": (plan_with("--budget", "nan"), ["budget", "nan"]),
    "plan: unknown method": (plan_with("--method", "tca"), ["tca", "tac"]),
    "plan: unknown allocation": (plan_with("--allocation", "best"), ["best", "greedy"]),
    "plan: allocation without effect": (
        plan_with("--method", "uniform-msp", "--allocation", "exact"), ["allocation", "exact", "uniform-msp"],
    ),
    "plan: method that spends nothing": (plan_with("--method", "none"), ["budget", "none"]),
    "plan: probability above one": (plan_with("--flip-probability", 1.5), ["1.5"]),
    "plan: probability below zero": (plan_with("--flip-probability", -0.1), ["flip", "-0.1"]),
    "plan: probability that is no number": (plan_with("--flip-probability", "p"), ["--flip-probability", "p is not"]),
    "plan: set without a card": (plan_with("--set", "window_s=1e-6"), ["--set", "window_s=1e-6"]),
    "set: unknown field": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--set", "barrier.heigth_eV=3"],
        ["barrier.heigth_eV", "did you mean height_eV"],
    ),
    "set: no value": (lambda folder, tiny: ["flip", "--device", "3nm", "--set", "window_s"], ["--set", "window_s"]),
    "set: twice": (
        lambda folder, tiny: ["flip", "--device", "3nm", "--set", "window_s=1", "--set", "window_s=2"],
        ["set twice", "window_s=2"],
    ),
    "set: out of bounds": (
        lambda folder, tiny: ["card", "check", "3nm", "--set", "cell.electrons=3"], ["flip_threshold", "electrons"],
    ),
    "set: broken YAML": (
        lambda folder, tiny: ["card", "check", "3nm", "--set", "sweep.thickness_nm=[1.7"], ["--set sweep.thickness_nm"],
    ),
    "plan: negative seed": (plan_with("--seed", -1), ["seed", "-1"]),
    "plan: both sources of flips": (plan_with("--device", "3nm"), ["--flip-probability", "--device"]),
    "plan: unwritable file": (
        lambda folder, tiny: plan_with("--out", folder / "missing" / "plan.json")(folder, tiny), ["plan.json"],
    ),
    "evaluate: plan of another model": (
        plan_file(change("weights_digest", to="0" * 64)), ["another network", "000000000000"],
    ),
    "evaluate: plan with other tensors": (
        plan_file(change("layers", 0, "name", to="head.weight")), ["another network", "head.weight"],
    ),
    "evaluate: truncated plan": (plan_file(truncated), ["plan.json", "JSON"]),
    "evaluate: empty plan": (plan_file(lambda content: ""), ["plan.json", "JSON"]),
    "evaluate: another JSON file": (plan_file(lambda content: {"hello": 1}), ["plan.json", "format"]),
    "evaluate: depth above bits": (plan_file(change("layers", 0, "depth", to=9)), ["depth", "9"]),
    "evaluate: field of the wrong type": (plan_file(change("rho_star", to="big")), ["rho_star", "big"]),
    "evaluate: one trial": (
        lambda folder, tiny: [*plan_file(lambda content: content)(folder, tiny)[:-1], 1], ["trials", "1"],
    ),
    # sweeps and stores
    "sweep: trials and half-width": (sweep_with("--trials", 5, "--half-width", 0.01), ["--trials", "--half-width"]),
    "sweep: unknown method": (sweep_with("--method", "uniform"), ["uniform", "uniform-msp"]),
    "sweep: budget list with text": (sweep_with("--budget", "0.1,five"), ["--budget", "five"]),
    "sweep: budget above one": (sweep_with("--budget", "0.1,5"), ["budget", "5"]),
    "sweep: budget of many percent": (sweep_with("--budget", "5%,500%"), ["budget", "5.0"]),
    "sweep: percent of text": (sweep_with("--budget", "five%"), ["--budget", "five"]),
    "sweep: target of text": (sweep_with("--target", "most"), ["--target", "most"]),
    "sweep: thickness twice in a list": (sweep_with("--thickness", "1.8,1.8", "--trials", 2), ["--thickness", "1.8"]),
    "sweep: target of zero": (sweep_with("--target", 0), ["target", "0"]),
    "sweep: no workers": (sweep_with("--workers", 0), ["workers", "0"]),
    "sweep: half-width of zero": (sweep_with("--half-width", 0), ["half", "0"]),
    "sweep: card without a sweep range": (
        lambda folder, tiny: ["sweep", "--device", "sram_6t", "--workload", tiny, "--out", folder / "run"],
        ["sram_6t", "--thickness"],
    ),
    "sweep: folder is a file": (folder_is_a_file, ["run"]),
    "store: not a database": (store_with(b"these are notes, not a database" * 40), ["results.sqlite", "database"]),
    "store: of another program": (store_with(foreign_database), ["results.sqlite"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_answered_by_one_clear_message(name: str, codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    build, words = CASES[name]
    arguments = build(tmp_path, tiny)
    before = snapshot(tmp_path)
    done = codesign(*arguments)
    assert done.code == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "this is a defect" not in done.stderr
    for label in ("where:", "rule:", "value:", "next:"):
        assert done.stderr.count(label) == 1, done.stderr
    for word in words:
        assert word in done.stderr, f"{word!r} is missing in:\n{done.stderr}"
    after = snapshot(tmp_path)
    assert {path: after.get(path) for path in before} == before, "a file of the user was changed"


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40


def test_unwritable_run_folder(codesign, tiny: str) -> None:  # type: ignore[no-untyped-def]
    """Also when the tests run as root, for whom every folder is writable: /proc never is."""
    done = codesign("sweep", "--device", "3nm", "--workload", tiny, "--out", "/proc/codesign-run", "--trials", 2)
    assert done.code == 2
    assert "/proc/codesign-run" in done.stderr
    assert "next:" in done.stderr


def test_debug_shows_the_traceback(codesign) -> None:  # type: ignore[no-untyped-def]
    done = codesign("card", "show", "3mn", "--debug")
    assert done.code == 2
    assert "Traceback" in done.stderr


def test_unknown_option_and_command_are_refused(codesign) -> None:  # type: ignore[no-untyped-def]
    for arguments in (["sweeep"], ["sweep", "--devise", "3nm"], ["flip"]):
        done = codesign(*arguments)
        assert done.code == 2
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()
