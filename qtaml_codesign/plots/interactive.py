"""The script that draws figures inside a page, for pages that hold all they need."""

from __future__ import annotations

from qtaml_codesign.errors import InputError


def plotly_script() -> str:
    """The text of plotly.js, as the `plotly` package ships it.

    Raises:
        InputError: the package is not installed.

    Source: plotly.js, MIT licence, github.com/plotly/plotly.js.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("the figures of a report need plotly, which is not installed", where="codesign report",
                         rule="the extra `report` of qtaml-codesign", value="no module named plotly",
                         next_step="pip install 'qtaml-codesign[report]'") from None
    return str(get_plotlyjs())
