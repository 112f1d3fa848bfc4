"""`codesign card`."""

from __future__ import annotations

import typer

app = typer.Typer(help="The shipped device cards.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Placeholder for the room's owner."""
