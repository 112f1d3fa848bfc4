"""Short Markdown tables."""

from __future__ import annotations

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """A table whose cells are texts and numbers already rounded.

    Example:
        >>> print(markdown(pd.DataFrame({"p": [0.1], "accuracy": ["0.95 [0.94, 0.96]"]})))
        | p | accuracy |
        |---|---|
        | 0.1 | 0.95 [0.94, 0.96] |
    """
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    lines += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head, rule, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, rule.replace(" ", ""), *body])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")
