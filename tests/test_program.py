"""The program as it is started: from the checkout, from a wheel, and how quickly it answers `--help`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import qtaml_codesign as qc
from qtaml_codesign.nets.zoo import ZOO
from tests.conftest import ROOT

COMMANDS = [
    name.split()
    for name in ("sweep", "frontier", "flip", "plan", "evaluate", "verify", "glossary", "card list", "card show",
                 "card check")
]
START = "from qtaml_codesign.commands.main import run; run()"


def finished(arguments: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False, timeout=300,
    )


def test_launcher_of_the_checkout() -> None:
    done = finished(["cli.py", "flip", "--device", "3nm"], ROOT)
    assert done.returncode == 0, done.stderr
    assert "0.0999705" in done.stdout


def test_the_package_runs_as_a_module() -> None:
    done = finished(["-m", "qtaml_codesign", "flip", "--device", "3nm"], ROOT)
    assert done.returncode == 0, done.stderr
    assert "0.0999705" in done.stdout


def test_a_shell_completes_commands_options_and_names() -> None:
    def completed(line: str) -> list[str]:
        words = {"_CODESIGN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return finished(["cli.py"], ROOT, **words).stdout.split()

    assert completed("codesign fr") == ["frontier"]
    assert completed("codesign sweep --half") == ["--half-width"]
    assert completed("codesign sweep --device 3n") == ["3nm"]
    assert set(completed("codesign plan --method uni")) == {"uniform-msp", "uniform-msp-fractional"}
    assert "--install-completion" in finished(["cli.py", "--help"], ROOT).stdout


@pytest.mark.parametrize("arguments", [
    ["sweep", "--device", "3nm"], ["frontier", "--device", "3nm"],
    ["plan", "--workload", "small-cnn", "--flip-probability", "0.1"],
], ids=lambda arguments: arguments[0])
def test_a_command_says_that_it_loads_before_it_does(arguments: list[str], tmp_path: Path) -> None:
    """Nothing heavy is there yet: an interpreter that cannot import any of it still says so, and only then fails."""
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'numpy', 'torch'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.argv = ['codesign', *{arguments!r}]\n{START}"
    )
    done = finished(["-c", script], tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert done.stderr.startswith("loading ")
    assert "small-cnn" in done.stderr.splitlines()[0]


def test_the_methods_of_the_help_are_those_of_the_engine(codesign) -> None:  # type: ignore[no-untyped-def]
    from qtaml_codesign.tac.methods import METHODS

    for command in ("sweep", "frontier", "plan"):
        shown = re.sub(r"-\s+", "-", codesign(command, "--help").stdout)
        listed = re.sub(r"\s+", " ", shown)
        assert all(re.search(rf"[ ]{method}[,;. ]", listed) for method in METHODS), command
        assert "--sensitivity" in listed


def test_the_sensitivity_reaches_a_plan(codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ways = {}
    for way in ("finite-difference", "auto"):
        done = codesign("plan", "--workload", tiny, "--flip-probability", 0.1, "--budget", "25%", "--sensitivity", way,
                        "--out", tmp_path / "plan.json")
        assert done.code == 0, done.stderr
        ways[way] = json.loads((tmp_path / "plan.json").read_text())["sensitivity"]
    assert ways == {"finite-difference": "finite-difference", "auto": "reverse"}


def test_changed_fields_reach_plan_and_evaluation(codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    place, changed = tmp_path / "plan.json", ("--device", "3nm", "--set", "barrier.thickness_nm=1.75")
    flips = qc.flip_probability(qc.load_card("3nm").with_field("barrier.thickness_nm", 1.75))
    done = codesign("plan", "--workload", tiny, *changed, "--budget", "25%", "--out", place)
    assert done.code == 0, done.stderr
    assert qc.TacPlan.load(place) == qc.plan(tiny, "tac", flips, 0.25)
    done = codesign("evaluate", "--workload", tiny, "--plan", place, *changed, "--trials", 2)
    assert done.code == 0, done.stderr
    assert f"nominal {flips.probability:.6g}," in done.stdout


def test_no_flips_are_said(codesign, tiny: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for flips in (["--flip-probability", 0], ["--device", "sram_6t"]):
        done = codesign("plan", "--workload", tiny, *flips, "--budget", "25%", "--out", tmp_path / "plan.json")
        assert done.code == 0, done.stderr
        assert "no flips: quantisation alone" in done.stderr
        done = codesign("evaluate", "--workload", tiny, "--plan", tmp_path / "plan.json", *flips, "--trials", 2)
        assert done.code == 0, done.stderr
        assert "no flips: quantisation alone" in done.stderr
        assert ("below the smallest float64" in done.stderr) == (flips[0] == "--device")
        assert "0 flips over" in done.stdout
    done = codesign("plan", "--workload", tiny, "--device", "3nm", "--out", tmp_path / "plan.json")
    assert "no flips" not in done.stderr


def test_relative_card_path(codesign, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(ROOT)
    done = codesign("flip", "--device", "devices/3nm.yaml")
    assert done.code == 0, done.stderr


def test_wheel_works_from_another_folder(tmp_path: Path) -> None:
    """Cards and trained weights travel in the wheel; the checkout is out of reach. Kernels run uncompiled."""
    built = finished(["-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")], ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    there = {"PYTHONPATH": str(site), "NUMBA_DISABLE_JIT": "1"}
    options = ["--workload", "small-cnn", "--device", "7nm", "--budget", "0.125", "--method", "uniform-msp"]
    script = f"import qtaml_codesign; print(qtaml_codesign.__file__)\n{START}"
    plan = finished(["-c", script, "plan", *options], tmp_path, **there)
    assert plan.returncode == 0, plan.stderr
    assert str(site) in plan.stdout
    assert "12.5000%" in plan.stdout
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"qtaml_codesign/nets/weights/{name}.safetensors" for name in ZOO} <= set(names)


def test_help_is_read_without_loading_the_engine() -> None:
    """What makes `--help` quick is what is not imported; the CPU time itself is printed by `make bench`."""
    script = (
        "import sys; sys.argv = ['codesign', '--help']\n"
        "try:\n    from qtaml_codesign.commands.main import run; run()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'numba', 'numpy', 'scipy', 'pandas', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = finished(["-c", script], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_that_names_the_command(command: list[str], codesign) -> None:  # type: ignore[no-untyped-def]
    done = codesign(*command, "--help")
    assert done.code == 0
    example = done.stdout[done.stdout.index("Example"):]
    assert f"codesign {' '.join(command)}" in re.sub(r"\s+", " ", example)


def test_constraints_pin_torch() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
