"""Counts of one trial, made up."""

from __future__ import annotations

from qtaml_codesign.nets.counts import TrialCounts


def one_trial(correct: int, samples: int, *, stored: int = 80, exposed: int = 60, flipped: int = 3,
              expected: float = 2.5, seconds: float = 0.25) -> TrialCounts:
    """A trial that has answered its first `correct` samples right, each sample a group of its own."""
    return TrialCounts.of_trial(
        [1] * correct + [0] * (samples - correct), samples, bits_stored=stored, bits_exposed=exposed,
        bits_flipped=flipped, expected_flips=expected, seconds=seconds,
    )
