"""`codesign verify`: the distribution theorems by Monte Carlo."""

from __future__ import annotations

import typer


def verify(
    flip_probability: float = typer.Option(
        0.10, "--flip-probability", metavar="P", help="Flip probability of a bit, 0 < P < 1."
    ),
    bits: int = typer.Option(8, "--bits", metavar="B", help="Bits per stored weight, 2 to 16."),
    trials: int = typer.Option(64, "--trials", metavar="N", help="Drawings per setting, of at least 16384 weights."),
    seed: int = typer.Option(0, "--seed", metavar="S", help="Key of the flips; the same seed repeats the table."),
) -> None:
    """Check the distribution theorems by Monte Carlo of the sampler that every trial uses.

    One row per theorem and quantity: predicted, measured, standard error, z, pass. The table as a whole fails
    falsely with probability below 1e-9. Exit code 1 if a row fails.

    \b
    Example:
      codesign verify --flip-probability 0.05 --bits 8 --trials 200
    """
    from qtaml_codesign.bits.verification import FALSE_FAILURE, verify_theorems
    from qtaml_codesign.commands.show import print_table, say

    checks = verify_theorems(flip_probability=flip_probability, bits=bits, trials=trials, seed=seed)
    rows = [
        (check.theorem, check.quantity, f"{check.predicted:.6g}", f"{check.measured:.6g}",
         f"{check.standard_error:.2g}", f"{check.z:+.2f}", "pass" if check.passed else "FAIL")
        for check in checks
    ]
    print_table(("theorem", "quantity", "predicted", "measured", "standard error", "z", "pass"), rows,
                text=("theorem", "quantity"), left=("pass",), keys=2,
                title=f"Read law of {bits}-bit weights, flip probability {flip_probability:g}")
    failed = sum(not check.passed for check in checks)
    say(f"{len(checks) - failed} of {len(checks)} rows pass; a correct sampler would fail one or more with probability "
        f"below {FALSE_FAILURE:g}")
    if failed:
        raise typer.Exit(1)
