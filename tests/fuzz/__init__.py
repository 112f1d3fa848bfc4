"""Seeded fuzzers of the whole program: what they feed it is wrong in random ways, what it must do is always the same.

    python -m tests.fuzz                     a quick share of every fuzzer
    python -m tests.fuzz --full              500 cards, 300 argument lists, 200 plans, 50 workload files, 1500 calls
    python -m tests.fuzz cards --case 137    one case again, with its input and output

Every case is keyed by (seed, fuzzer, number) alone, so that a finding is named by three words.
"""
