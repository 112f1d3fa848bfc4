"""Run the benchmarks, each in a process of its own, and write docs/performance.md.

    python -m benchmarks            all of them but peers
    python -m benchmarks flips      only those named; the others keep their last figures

`peers` needs the other tools: `make bench-peers` brings them into an environment of its own. A benchmark is a module of
this folder with `section() -> Section`.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

from benchmarks.page import write_page

NAMES = ["flips", "chain", "trial", "calibration", "sweep", "where", "size", "peers", "start"]


def main(arguments: list[str]) -> None:
    unknown = [name for name in arguments if name not in NAMES]
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in arguments or [name for name in NAMES if name != "peers"]:
        print(f"benchmark {name} ...", flush=True)
        alone = f"from benchmarks.__main__ import measure; measure({name!r})"
        subprocess.run([sys.executable, "-c", alone], check=True)
        write_page(NAMES)


def measure(name: str) -> None:
    """Run one benchmark in this process, print its section and keep it."""
    section = import_module(f"benchmarks.{name}").section()
    section.save(name)
    print(section.markdown(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
