"""What a reader sees: no number or name is broken on a narrow terminal, and the words that come with the numbers."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import qtaml_codesign as qc
from qtaml_codesign.commands.glossary import TERMS, as_markdown
from qtaml_codesign.commands.show import fold, table_lines
from qtaml_codesign.nets.exposure import Exposure
from tests.conftest import ROOT

WORD = re.compile(r"[\w.*+/%\[\],:<>=~^|-]+")


class Terminal(io.StringIO):
    """A stream that says that somebody is looking at it."""

    def isatty(self) -> bool:
        return True


def on_terminal(arguments: list[str], width: int, cwd: Path) -> str:
    """Output of `codesign ARGUMENTS` on a true terminal of so many columns, in a process of its own."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "dumb", "PYTHONPATH": str(ROOT)}
    done = subprocess.Popen([sys.executable, str(ROOT / "cli.py"), *arguments], stdout=follower, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, cwd=cwd, env=environment)
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end was closed: all of it was read
            break
        if not chunk:
            break
        chunks.append(chunk)
    _, errors = done.communicate(timeout=120)
    os.close(leader)
    assert done.returncode == 0, errors.decode()
    return b"".join(chunks).decode().replace("\r\n", "\n")


COMMANDS = {
    "flip": ["flip", "--device", "3nm", "--thickness", "1.7:2.2:4", "--vary",
             "cell.attempt_frequency_Hz=1e12:1e13:2:log"],
    "card list": ["card", "list"],
    "card show": ["card", "show", "3nm"],
    "card show with regions": ["card", "show", "3nm", "--set", "bit_planes={7: {barrier: {thickness_nm: 2.0}}}"],
    "glossary": ["glossary"],
    "verify": ["verify", "--trials", "4"],
    "plan": ["plan", "--workload", "res-cnn", "--flip-probability", "0.1", "--budget", "5%", "--method", "magnitude"],
    "frontier": ["frontier", "--device", "hfo2_highk", "--budget", "3%,12.5%", "--method", "tac", "--method",
                 "magnitude", "--max-trials", "10", "--half-width", "0.2", "--workers", "1", "--thickness", "5.3:5.7"],
}


def broken(whole: str, shown: str, width: int) -> list[str]:
    """Words of the piped output that do not stand whole on the terminal, and lines longer than the terminal."""
    missing = set(WORD.findall(whole)) - set(WORD.findall(shown))
    words = [word for word in missing if not word.isdigit()]  # a second run adds another number of trials
    return words + [line for line in shown.splitlines() if len(line) > width]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_is_broken_on_a_narrow_terminal(codesign, name, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    piped = codesign(*COMMANDS[name])
    assert piped.code == 0, piped.stderr
    for width in (60, 80):
        shown = Terminal()
        with monkeypatch.context() as there:
            there.setenv("COLUMNS", str(width))
            there.setattr(sys, "stdout", shown)
            codesign(*COMMANDS[name])
        assert broken(piped.stdout, shown.getvalue(), width) == []


def test_the_width_is_that_of_the_terminal(codesign, tmp_path):  # type: ignore[no-untyped-def]
    piped, width = codesign(*COMMANDS["card show"]).stdout, 100  # no width that a program may have by itself
    shown = on_terminal(COMMANDS["card show"], width, tmp_path)
    assert broken(piped, shown, width) == []
    assert width - 12 < max(map(len, shown.splitlines()))


def test_what_is_piped_is_as_long_as_it_is(tmp_path: Path) -> None:
    """Whatever COLUMNS says, in a process of its own."""
    done = subprocess.run([sys.executable, str(ROOT / "cli.py"), *COMMANDS["flip"]], capture_output=True, text=True,
                          cwd=tmp_path, check=True, env={**os.environ, "COLUMNS": "60", "PYTHONPATH": str(ROOT)})
    assert max(map(len, done.stdout.splitlines())) > 60


def test_a_table_goes_on_below_itself() -> None:
    lines = table_lines(["key", "long_name_of_one", "long_name_of_two"], [["a", "1.25", "2.5"]], width=24)
    assert lines == ["key  long_name_of_one", "  a              1.25", "",
                     "key  long_name_of_two", "  a               2.5"]
    assert table_lines(["key", "one"], [["a", "1.25"]], width=80) == ["key   one", "  a  1.25"]


def test_text_is_wrapped_at_blanks_alone() -> None:
    assert fold("uniform-msp-fractional 0.125", 10) == ["uniform-msp-fractional", "0.125"]
    rows = [["x", "one two three four five six seven eight nine ten"]]
    assert table_lines(["k", "words"], rows, text=["words"], width=30) == [
        "k  words", "x  one two three four five six", "   seven eight nine ten",
    ]


def test_the_glossary_of_the_docs_is_that_of_the_command(codesign) -> None:  # type: ignore[no-untyped-def]
    assert (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8") == as_markdown()
    shown = codesign("glossary").stdout
    words = " ".join(word for word, _ in TERMS)
    for term in ("regime", "gain", "score", "depth", "rho*", "Uniform-MSP", "residual floor", "trial", "overhead"):
        assert term in words
        assert term in shown
    assert "codesign glossary" in codesign("--help").stdout


def test_what_is_not_exposed_is_told_by_reason() -> None:
    rows = (("a.bias", 16, "bias"), ("b.bias", 4, "bias"), ("norm.weight", 5, "norm"))
    assert Exposure(75, 100, rows).text == (
        "75.00% of 100 parameters lie in tunnelling cells; not exposed: 20 in 2 tensors (bias), 5 in 1 tensor (norm)")
    assert Exposure(9, 9, ()).text == "100.00% of 9 parameters lie in tunnelling cells"
    record = Exposure(75, 100, rows).to_json()
    assert (record["share"], len(record["unexposed"]), record["unexposed"][2]["why"]) == (0.75, 3, "norm")


FEW = """
import torch
import qtaml_codesign as qc


def make():
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    inputs = torch.randn(20, 6)
    with torch.no_grad():
        return qc.Workload(module, inputs, (inputs, module(inputs).argmax(1)), name="few")
"""


def test_plan_and_evaluate_tell_what_is_exposed_and_what_is_doubtful(
    codesign, no_quiet: None, tmp_path: Path  # type: ignore[no-untyped-def]
) -> None:
    (tmp_path / "few.py").write_text(FEW)
    network, flips = f"{tmp_path / 'few.py'}:make", ("--flip-probability", 0.1)
    planned = codesign("plan", "--workload", network, *flips, "--budget", 0.1, "--out", tmp_path / "plan.json")
    assert planned.code == 0, planned.stderr
    measured = codesign("evaluate", "--workload", network, "--plan", tmp_path / "plan.json", *flips, "--trials", 2)
    for done in (planned, measured):
        assert "exposed: 86.75% of 83 parameters lie in tunnelling cells" in done.stdout
        assert "11 in 2 tensors (bias)" in " ".join(done.stdout.split())
    assert "warning: only 20 evaluation samples" in planned.stderr
    assert "note: only 20 evaluation samples" in measured.stderr
    assert "correction: 2 of 2" in planned.stderr



def test_help_of_a_plan_shows_ours(capsys: pytest.CaptureFixture[str]) -> None:
    import pydoc

    for kind, own in ((qc.TacPlan, "rho_star"), (qc.DeviceCard, "with_field")):
        text = pydoc.render_doc(kind, renderer=pydoc.plaintext)
        assert own in text
        assert "model_dump" not in text
        assert len(text.splitlines()) < 160


def test_dir_shows_what_is_public() -> None:
    import qtaml_codesign.tac.api

    assert {name for name in dir(qc) if not name.startswith("_")} == set(qc.__all__)
    assert not {"tac", "cards", "annotations", "importlib", "Any"} & set(dir(qtaml_codesign))
