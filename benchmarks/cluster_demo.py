"""The demo on a cluster of this machine: a Dask scheduler and two workers on loopback, gone when it is done.

    make cluster-demo
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

WORKERS = 2
OUT = "runs/cluster-demo"
_PATIENCE_S = 60.0


@contextmanager
def started(name: str, *arguments: str) -> Iterator[None]:
    """A program of Dask, which is ended on the way out."""
    command = [sys.executable, "-m", f"distributed.cli.{name}", *arguments, "--no-dashboard"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def address_in(file: Path) -> str:
    """Where the scheduler listens; it chooses a free port, and writes the file when it is there."""
    end = time.monotonic() + _PATIENCE_S
    while not file.exists():
        if time.monotonic() > end:
            raise SystemExit(f"the scheduler did not start within {_PATIENCE_S:g} s")
        time.sleep(0.1)
    return str(json.loads(file.read_text(encoding="utf-8"))["address"])


def main(arguments: list[str]) -> int:
    """Start the cluster, run `codesign sweep` on it, and end it; further arguments go to the sweep."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as cluster:
        file = Path(folder) / "scheduler.json"
        cluster.enter_context(started("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file",
                                      str(file)))
        address = address_in(file)
        for _ in range(WORKERS):
            cluster.enter_context(started("dask_worker", address, "--nthreads", "1", "--no-nanny",
                                          "--local-directory", folder))
        command = ["sweep", "--device", "devices/3nm.yaml", "--out", OUT, "--cluster", address, *arguments]
        print(f"codesign {' '.join(command)}", flush=True)
        return subprocess.call([sys.executable, "-m", "qtaml_codesign", *command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
