"""Tables and lines of the commands: aligned text that never breaks a number or a name, however narrow the terminal.

A table that is too wide for the terminal first wraps its columns of running text at blanks, then goes on below itself:
the rest of the columns follow as a second block, under the same first columns. Piped, nothing is wrapped at all.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

_GAP = 2
_LEAST_TEXT = 20
_LEAST_WIDTH = 20


def screen_width(stream: TextIO) -> int | None:
    """Columns of the terminal behind a stream; None where there is none."""
    return max(shutil.get_terminal_size().columns, _LEAST_WIDTH) if stream.isatty() else None


def say(text: str, stream: TextIO | None = None, indent: str = "  ") -> None:
    """Print lines to a stream (stdout), wrapped at blanks to the terminal's width; what is wrapped goes on indented.

    Args:
        text: one or more lines.
        stream: where to; None: stdout.
        indent: before what is wrapped.
    """
    where = sys.stdout if stream is None else stream
    width = screen_width(where)
    for line in text.splitlines() or [""]:
        print(line if width is None else "\n".join(fold(line, width, indent)), file=where, flush=where is sys.stderr)


def fold(line: str, width: int, indent: str = "") -> list[str]:
    """A line cut at blanks alone; a word longer than the width stays whole.

    Args:
        line: one line.
        width: in characters.
        indent: before all lines but the first.

    Example:
        >>> fold("accuracy 0.9712345 uniform-msp", 14)
        ['accuracy', '0.9712345', 'uniform-msp']
    """
    further = indent + " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False,
                         drop_whitespace=True) or [""]


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = (), text: Sequence[str] = (),
    keys: int = 1, title: str = "",
) -> None:
    """Print a table to stdout.

    Args:
        columns: heads, of one or more lines.
        left: columns that are set flush left; the others are flush right.
        text: columns of running text, flush left, that may be wrapped at blanks.
        keys: how many of the first columns stand again in each block of a table that is too wide.
        rows: cells as text, one per column.
        title: a line above.
    """
    if title:
        say(title)
    for line in table_lines(columns, list(rows), left=left, text=text, keys=keys, width=screen_width(sys.stdout)):
        print(line)


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), text: Sequence[str] = (),
    keys: int = 1, width: int | None = None,
) -> list[str]:
    """The lines of a table, none longer than `width` unless a single cell is.

    Args:
        columns: as in `print_table`, like `rows`, `left`, `text` and `keys`.
        width: of the terminal; None: any.

    Example:
        >>> table_lines(["name", "a", "b"], [["x", "1234567", "7654321"]], left=["name"], width=14)
        ['name        a', 'x     1234567', '', 'name        b', 'x     7654321']
    """
    height = max(column.count("\n") for column in columns)
    heads = [["" for _ in range(height - column.count("\n"))] + column.split("\n") for column in columns]
    cells = [heads, *([[cell] for cell in row] for row in rows)]
    sizes = [max(len(line) for row in cells for line in row[place]) for place in range(len(columns))]
    if width is not None and _across(sizes) > width:
        sizes = _narrowed(cells, sizes, [place for place, name in enumerate(columns) if name in text])
    flush = [name in left or name in text for name in columns]
    lines: list[str] = []
    for block in _blocks(sizes, keys, width):
        lines += [""] if lines else []
        wide = _widened(cells, block, sizes, [place for place in block if columns[place] in text], width)
        for row in cells:
            lines += _row_lines([_wrapped(row[place], wide[place]) for place in block],
                                [wide[place] for place in block], [flush[place] for place in block])
    return lines


def _across(sizes: Sequence[int]) -> int:
    return sum(sizes) + _GAP * (len(sizes) - 1)


def _narrowed(cells: list[list[list[str]]], sizes: list[int], text: list[int]) -> list[int]:
    """Columns of running text as narrow as their longest word, or a readable width, allows."""
    found = list(sizes)
    for place in text:
        words = [word for row in cells for line in row[place] for word in line.split()]
        found[place] = min(sizes[place], max(_LEAST_TEXT, *map(len, words)) if words else sizes[place])
    return found


def _widened(
    cells: list[list[list[str]]], block: list[int], sizes: list[int], text: list[int], width: int | None
) -> dict[int, int]:
    """The widths of a block, with what the terminal leaves given to its columns of text."""
    found = {place: sizes[place] for place in block}
    spare = (width or 0) - sum(found.values()) - _GAP * (len(block) - 1)
    for place in text:
        wanted = max(len(line) for row in cells for line in row[place])
        more = max(0, min(spare, wanted - found[place]))
        found[place], spare = found[place] + more, spare - more
    return found


def _blocks(sizes: list[int], keys: int, width: int | None) -> list[list[int]]:
    """Columns by block: the keys (fewer where they leave no room), then as many of the others as fit, at least one."""
    while keys > 1 and width is not None and _across(sizes[:keys]) + _GAP + max(sizes[keys:], default=0) > width:
        keys -= 1
    first = list(range(min(keys, len(sizes))))
    blocks: list[list[int]] = []
    for place in range(len(first), len(sizes)):
        trial = [*(blocks[-1] if blocks else first), place]
        fits = width is None or _across([sizes[one] for one in trial]) <= width
        if blocks and not fits:
            blocks.append([*first, place])
        else:
            blocks[-1:] = [trial]
    return blocks or [first]


def _wrapped(lines: list[str], width: int) -> list[str]:
    return [part for line in lines for part in (fold(line, width) if len(line) > width else [line])]


def _row_lines(cells: list[list[str]], widths: list[int], flush_left: list[bool]) -> list[str]:
    """Lines of one row."""
    height = max(map(len, cells))
    lines = []
    for level in range(height):
        parts = [cell[level] if level < len(cell) else "" for cell in cells]
        padded = [f"{part:<{size}}" if flush else f"{part:>{size}}"
                  for part, size, flush in zip(parts, widths, flush_left, strict=True)]
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def short(value: object, digits: int = 6) -> str:
    """A cell for the eye: a few significant digits for floats, text as it is.

    Args:
        value: number or text.
        digits: significant ones of a float.

    Example:
        >>> short(0.0999704678), short(50), short("rare")
        ('0.0999705', '50', 'rare')
    """
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def power_of_ten(log10_value: float) -> str:
    """A probability from its base-10 logarithm, also far below the smallest float.

    Args:
        log10_value: any.

    Example:
        >>> power_of_ten(-1.0), power_of_ten(-12248.986278517)
        ('0.1', '1.0321e-12249')
    """
    if log10_value > -300.0:
        return f"{10.0**log10_value:.6g}"
    whole = int(log10_value // 1)
    return f"{10.0 ** (log10_value - whole):.4f}e{whole}"
