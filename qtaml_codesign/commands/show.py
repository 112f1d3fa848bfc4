"""Tables of the commands: drawn on a terminal, plain aligned text (full column names, no wrapping) when piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = (), title: str = ""
) -> None:
    """Print a table to stdout; columns named in `left` are set flush left, the others flush right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, lines = Console(), [list(row) for row in rows]
    if not console.is_terminal:
        _print_plain(columns, lines, left, title)
        return
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)


def _print_plain(columns: Sequence[str], lines: list[list[str]], left: Sequence[str], title: str) -> None:
    if title:
        print(title)
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    for line in [list(columns), *lines]:
        cells = [
            f"{cell:{'<' if name in left else '>'}{width}}"
            for cell, width, name in zip(line, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def short(value: object, digits: int = 6) -> str:
    """A cell for the eye: a few significant digits for floats, text as it is.

    Example:
        >>> short(0.0999704678), short(50), short("rare")
        ('0.0999705', '50', 'rare')
    """
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def power_of_ten(log10_value: float) -> str:
    """A probability from its base-10 logarithm, also far below the smallest float.

    Example:
        >>> power_of_ten(-1.0), power_of_ten(-12248.986278517)
        ('0.1', '1.0321e-12249')
    """
    if log10_value > -300.0:
        return f"{10.0**log10_value:.6g}"
    whole = int(log10_value // 1)
    return f"{10.0 ** (log10_value - whole):.4f}e{whole}"
