"""What several test files share: one thread, quick and full size, the command line run in this process, a tiny network.

Nothing of the package is imported here before the environment is set: torch and numba read it when they are loaded.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import qtaml_codesign as qc

ROOT = Path(__file__).parent.parent
FORK = multiprocessing.get_context("fork")


def take_over_compiled(own: Path) -> None:
    """Copy what the package has compiled so far into a cache of one's own, where numba looks for it."""
    from numba.core.caching import _CacheLocator

    for compiled in (ROOT / "qtaml_codesign").rglob("__pycache__/*.nb[ic]"):
        place = own / _CacheLocator.get_suitable_cache_subpath(str(compiled.parent.parent / "kernels.py"))
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy2(compiled, place)


settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ["OMP_WAIT_POLICY"] = "passive"  # where a test takes two threads after all
os.environ["XDG_CACHE_HOME"] = str(ROOT / ".pytest_cache" / "user")  # laws of codes: not in the user's own cache
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes that compile one function at once can spoil numba's cache
    own = ROOT / ".pytest_cache" / "numba" / os.environ["PYTEST_XDIST_WORKER"]
    os.environ["NUMBA_CACHE_DIR"] = str(own)
    if not own.exists():
        take_over_compiled(own)

SLOWEST = ("test_sweeps_kill.py", "test_studies.py", "test_sweeps_adaptive.py", "test_sweeps_transport.py",
           "test_sweeps_command.py", "test_sweeps_design.py")
"""They begin first, so that two processes end together."""

TINY_WORKLOAD = '''
import torch
import qtaml_codesign as qc


def make(hidden=12, seed=3):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(120, 6, generator=generator)
    module = torch.nn.Sequential(torch.nn.Linear(6, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        labels = module(inputs).argmax(1)
    return qc.Workload(model=module, calibration=inputs[:32], evaluation=(inputs, labels), name="tiny")


def other():
    return make(seed=4)


def wider():
    return make(hidden=20)
'''


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also what is marked `full`: sizes that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
    left_out = [] if config.getoption("full") else [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def sketch(figure: Figure, place: Path | BinaryIO, **options: object) -> None:
    """Write what a figure shows, its lines and words, and how it was to be saved; rendering takes 20 times as long."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    lines = [line.get_xydata().tolist() for line in figure.findobj(Line2D)]
    words = [text.get_text() for text in figure.findobj(Text)]
    content = repr((options, lines, words)).encode()
    if isinstance(place, str | Path):
        Path(place).write_bytes(content)
    else:
        place.write(content)


@pytest.fixture(scope="session", autouse=True)
def render() -> Iterator[Callable[..., None]]:
    """What draws a figure for a user. The tests take a sketch instead, where nobody asks for `rendered`."""
    from matplotlib.figure import Figure

    true = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", sketch)
        yield true


@pytest.fixture(scope="module")
def rendered(render: Callable[..., None]) -> Iterator[None]:
    """The figures of this file are those that a user gets."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", render)
        yield


def until(happened: Callable[[], bool], every: float = 0.02) -> bool:
    """Look again and again; False where it has not happened within five minutes, which is long on any machine."""
    end = time.monotonic() + 300.0
    while not (found := happened()) and time.monotonic() < end:
        time.sleep(every)
    return found


def stored_trials(folder: Path) -> int:
    """How many trials the result store of a folder holds, while others write to it."""
    path = folder / "results.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(path, timeout=20.0) as database:
        try:
            return int(database.execute("SELECT count(*) FROM trial").fetchone()[0])
        except sqlite3.OperationalError:  # it has just been made
            return 0


def tiny_network() -> qc.Workload:
    """The tiny network as it is built in this process, from no file."""
    names: dict[str, object] = {}
    exec(TINY_WORKLOAD, names)
    workload: qc.Workload = names["make"]()  # type: ignore[operator]
    return workload


@dataclass(frozen=True)
class Finished:
    """Exit code and output of one command."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def codesign(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run `codesign ARGUMENTS...` in this process."""
    from qtaml_codesign.commands.main import run

    def call(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, arguments)])
        capsys.readouterr()
        try:
            run()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return call


@pytest.fixture
def no_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps by minutes: every step of a command's progress is a line, none is left out for being early."""
    from qtaml_codesign.commands import running

    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=itertools.count(0.0, 100.0).__next__))


class _Fresh(FORK.Process):  # type: ignore[name-defined,misc]
    """A fork that has received no workload, and imported no file of one: a job finds both as a new process does."""

    def run(self) -> None:
        from qtaml_codesign.sweeps import handle

        handle.RECEIVED = handle.Received(2)
        for name in [name for name in sys.modules if name.startswith("_qtaml_codesign_workload")]:
            del sys.modules[name]
        super().run()


class _FreshFork(type(FORK)):  # type: ignore[misc]
    Process = _Fresh


@pytest.fixture(params=["fork", pytest.param("spawn", marks=pytest.mark.full)])
def started_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How worker processes start. A fork needs no import, and catches what is lost, replaced or counted wrongly.

    What the start itself may break, the test that interrupts a command line of two workers and `spawn` at full size
    catch.
    """
    context = _FreshFork() if request.param == "fork" else multiprocessing.get_context(request.param)
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`FILE.py:make` of the tiny network, one file for all tests of this process."""
    file = tmp_path_factory.mktemp("network") / "tiny.py"
    file.write_text(TINY_WORKLOAD, encoding="utf-8")
    return f"{file}:make"


@pytest.fixture(scope="session")
def tiny_workload(tiny_source: str) -> qc.Workload:
    """The tiny network, loaded once: 120 samples, 120 exposed weights, clean accuracy 1."""
    import qtaml_codesign as qc

    return qc.load_workload(tiny_source)


@pytest.fixture(scope="session")
def small() -> qc.Workload:
    """The smallest network of the zoo, as it ships."""
    import qtaml_codesign as qc

    return qc.load_workload("small-cnn")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """`FILE.py:FACTORY` of a two-layer network that labels its own inputs: clean accuracy 1."""
    file = tmp_path / "tiny.py"
    file.write_text(TINY_WORKLOAD, encoding="utf-8")
    return f"{file}:make"
