"""Run the studies of what the physics does to a network, then write what they measured into docs/physics.md."""

from __future__ import annotations

from pathlib import Path

from beyond import write_page
from reproduction import run_and_write

STUDIES = ("cell_variation",)
PAGE = Path("docs/physics.md")


def write(out: Path, page: Path) -> None:
    """Fill the marked blocks of `page` from the outputs of the studies under `out`."""
    write_page(out, page, STUDIES)


if __name__ == "__main__":
    run_and_write(STUDIES, PAGE, write, seeds=1, what=__doc__)
