"""The fuzzers by name, and how many cases each runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import api, arguments, cards, plans, stores, workloads


class Fuzzer(NamedTuple):
    """`run_case(seed, case, empty folder)` gives what is wrong, and nothing where all is right."""

    run_case: Callable[[int, int, Path], list[str]]
    quick: int
    full: int


FUZZERS: Final = {
    "cards": Fuzzer(cards.run_case, 8, 500),
    "arguments": Fuzzer(arguments.run_case, 12, 300),
    "plans": Fuzzer(plans.run_case, 12, 200),
    "workloads": Fuzzer(workloads.run_case, 4, 50),
    "api": Fuzzer(api.run_case, 60, 1500),
    "stores": Fuzzer(stores.run_case, 6, 60),
}
