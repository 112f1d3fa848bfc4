"""Figures as files: PNG, SVG or PDF that hold neither a date nor the name of a program, the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from qtaml_codesign.checks import one_of
from qtaml_codesign.errors import InputError

FORMATS: Final = ("png", "svg", "pdf")
_WITHOUT: dict[str, dict[str, Any]] = {
    "png": {"Software": None}, "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_SALT = "qtaml-codesign"


def checked_format(given: str) -> str:
    """The format of a figure, checked.

    Args:
        given: one of `FORMATS`.

    Raises:
        InputError: another one.

    Example:
        >>> checked_format("svg")
        'svg'
    """
    return one_of("figure format", "format (--format)", given, FORMATS)


def figure_path(path: Path, wanted: str | None) -> Path:
    """Where a figure goes: the ending of its name says the format, or is added.

    Args:
        path: as it was given.
        wanted: the format, or None where the name is to say it; png if it does not.

    Raises:
        InputError: an unknown format, or two that differ.

    Example:
        >>> figure_path(Path("a.pdf"), None).name, figure_path(Path("a"), "svg").name, figure_path(Path("a"), None).name
        ('a.pdf', 'a.svg', 'a.png')
    """
    ending, chosen = path.suffix[1:].lower(), None if wanted is None else checked_format(wanted)
    if ending in FORMATS and chosen in (None, ending):
        return path
    if not ending:
        return path.with_name(f"{path.name}.{chosen or FORMATS[0]}")
    raise InputError("the name of the figure does not say its format", where="plot (--plot)",
                     rule=f"a name that ends in .{chosen}" if chosen else "a name that ends in .png, .svg or .pdf",
                     value=path, next_step=f"call it {path.with_suffix(f'.{chosen or FORMATS[0]}').name}")


def asked_figure(path: Path | None, wanted: str | None) -> Path | None:
    """Where a figure goes that is drawn only when it is asked for.

    Args:
        path: as it was given; None: no figure.
        wanted: the format, or None.

    Raises:
        InputError: a format without a figure, or what `figure_path` refuses.
    """
    if path is not None:
        return figure_path(path, wanted)
    if wanted is not None:
        raise InputError("no figure is asked for that could have a format", where="format (--format)",
                         rule="--format beside --plot", value=wanted, next_step="name the figure with --plot FILE")
    return None


def save_figure(figure: Figure, place: Path | BinaryIO, wanted: str = "") -> None:
    """Write a figure.

    Args:
        figure: any.
        place: the file, or an open one in binary mode.
        wanted: one of `FORMATS`; "": the ending of the name says it.

    Raises:
        OSError: the file cannot be written.
    """
    kind = wanted or (place.suffix[1:].lower() if isinstance(place, Path) else FORMATS[0])
    with mpl.rc_context({"svg.hashsalt": _SALT}):
        figure.savefig(place, dpi=150, format=kind, metadata=_WITHOUT[kind])
