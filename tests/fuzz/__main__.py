"""`python -m tests.fuzz [FUZZER...] [--full] [--seed S] [--case N]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import running
from tests.fuzz.all import FUZZERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("fuzzers", nargs="*", choices=[[], *FUZZERS], metavar="FUZZER", help=", ".join(FUZZERS))
    parser.add_argument("--full", action="store_true", help="all cases; otherwise a quick share")
    parser.add_argument("--seed", type=int, default=0, help="key of every case")
    parser.add_argument("--case", type=int, help="this case alone, with its command and output")
    given = parser.parse_args()
    wrong = 0
    for name in given.fuzzers or FUZZERS:
        fuzzer, started = FUZZERS[name], time.monotonic()
        cases = range(fuzzer.full if given.full else fuzzer.quick) if given.case is None else [given.case]
        running.verbose = given.case is not None
        broken = 0
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                found = fuzzer.run_case(given.seed, case, Path(folder))
            if found:
                broken += 1
                print(f"{name} --seed {given.seed} --case {case}: {'; '.join(found)}", flush=True)
        print(f"{name}: {len(cases)} cases, {broken} wrong, {time.monotonic() - started:.0f} s", flush=True)
        wrong += broken
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
