"""The `codesign` program: its commands, and the translation of errors into one readable message."""

from __future__ import annotations

import sys
import traceback

import typer

from qtaml_codesign import __version__
from qtaml_codesign.commands import (
    calibrate,
    card,
    design,
    encodings,
    evaluate,
    flip,
    frontier,
    glossary,
    plan,
    report,
    retention,
    sweep,
    verify,
)
from qtaml_codesign.commands.show import say
from qtaml_codesign.errors import CodesignError

EXIT_BAD_INPUT = 2

app = typer.Typer(
    name="codesign",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How thin may the oxide be, and how much ECC must I buy, for this network?\n\n"
    "Start with: codesign sweep --device 3nm; codesign glossary explains the words of the tables.",
)
app.command("sweep", short_help="The main job: thinnest oxide per ECC budget, smallest budget per oxide.")(sweep.sweep)
app.command("frontier", short_help="The thinnest oxide per ECC budget alone, by bisection: the quickest answer.")(
    frontier.frontier
)
app.command("design", short_help="Backwards: the window, thickness, height ... that keeps the target.")(design.design)
app.command("flip", short_help="Physics only: flip probability over thickness and other card fields.")(flip.flip)
app.command("retention", short_help="Flips over time, left alone and with refresh.")(retention.retention)
app.command("calibrate", short_help="Numbers of a card from a retention or leakage curve.")(calibrate.calibrate)
app.command("plan", short_help="One protection plan: which bits and layers.")(plan.plan)
app.command("evaluate", short_help="Accuracy of a plan under flips, with its interval.")(evaluate.evaluate)
app.command("encodings", short_help="Which encoding and polarity of a cell loses least.")(encodings.encodings)
app.command("report", short_help="Finished runs as one page with figures and sliders, for anyone.")(report.report)
app.command("verify", short_help="The theorems of the noise law, by Monte Carlo.")(verify.verify)
app.command("glossary", short_help="What the words of the tables mean.")(glossary.glossary)
app.add_typer(card.app, name="card")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"qtaml-codesign {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options that stand before the command: version; debug, which `run` reads itself, wherever it stands."""


def run() -> None:
    """Entry point: run the command; print any error as one message on stderr and exit with code 2."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app(args=[argument for argument in arguments if argument != "--debug"], prog_name="codesign")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_BAD_INPUT)
    except Exception as failure:
        if debug:
            traceback.print_exc()
        say(f"error: {_message(failure)}", sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def _message(failure: Exception) -> str:
    if isinstance(failure, CodesignError):
        return str(failure)
    unexpected = CodesignError(
        f"{type(failure).__name__}: {failure}", where="inside codesign", rule="input is checked before it is used",
        value=" ".join(sys.argv[1:]), next_step="this is a defect; run the command again with --debug and report it",
    )
    return str(unexpected)
