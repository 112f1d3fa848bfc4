"""Answers in cells per weight: the frontier, its panels, and the words of report and progress."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

import qtaml_codesign as qc
from qtaml_codesign import plots
from qtaml_codesign.errors import InputError
from qtaml_codesign.frontier import Frontier
from qtaml_codesign.nets.metric import ACCURACY
from qtaml_codesign.nets.target import Target
from qtaml_codesign.report import answer_line, settled_line, sweep_report
from qtaml_codesign.statistics import Interval
from qtaml_codesign.sweeps.progress import FirstAnswer, Settled
from tests.test_sweeps_cells import GRID, METHOD, NETWORK, answers

MIXED = answers((METHOD, 0.0, 8.0, 0.0, 0.98, 0.99), (METHOD, 0.0, 2.0, 0.0, 0.3, 0.98),
                (METHOD, 0.0, 4.0, 0.0, 0.955, 0.98), ("tac", 0.1, 8.0, 0.1, 0.7, 0.99),
                ("tac", 0.2, 8.0, 0.2, 0.9, 0.99))


def test_the_frontier_asks_for_the_fewest_cells():
    small = Frontier(MIXED).smallest_budgets()
    assert list(small.columns)[:6] == ["method", "thickness_nm", "flip_probability", "budget", "cells", "overhead"]
    assert small[small.method == METHOD][["cells", "status"]].values.tolist() == [[4.0, "uncertain"], [2.0, "certain"]]
    tac = small[small.method == "tac"]
    assert tac.status.tolist() == ["none", "certain"]
    assert tac.iloc[1][["budget", "cells", "overhead"]].tolist() == [0.1, 8.0, 0.1]
    assert tac.iloc[0][["budget", "cells", "overhead"]].isna().all()
    assert f"{METHOD} 4 cells: <= 1.8000" in repr(Frontier(MIXED))
    assert "tac 0.1: 1.97" in repr(Frontier(MIXED))
    with pytest.raises(InputError, match=f"{METHOD} 8 cells, 1.8 nm"):
        Frontier(pd.concat([MIXED, MIXED.head(1)]))


def panels(table):
    figure = plots.draw_sweep(table, Frontier(table).to_frame(), 0.95)
    return figure, figure.axes[1:]


def test_each_currency_has_a_panel_of_its_own():
    figure, (overhead, cells) = panels(MIXED)
    assert (overhead.get_xlabel()[:12], cells.get_xlabel()) == ("ECC overhead", "cells per weight")
    assert cells.get_xticks().tolist() == [2.0, 4.0, 8.0]
    assert overhead.get_ylim() == cells.get_ylim()
    (line,) = [line for line in cells.lines if line.get_drawstyle() == "steps-post"]
    assert line.get_xdata().tolist() == [2.0, 4.0, 8.0]
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    shown = [text.replace("\n", " ").replace("\u00a0", " ") for text in texts]
    assert {"2 cells", "4 cells", "8 cells", "budget 10 %", "budget 20 %"} <= set(shown)
    assert "budget 0 %" not in shown
    assert [axes.get_xlabel() for axes in panels(MIXED[MIXED.method == METHOD])[1]] == ["cells per weight"]
    assert len(panels(MIXED[MIXED.method == "tac"])[1]) == 1


def test_one_amount_each_stands_side_by_side():
    one = MIXED[((MIXED.method == METHOD) & (MIXED.cells == 4.0)) | (MIXED.budget == 0.2)]
    figure, (axes,) = panels(one)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["channel-optimised\n4 cells", "TAC\n20 %"]
    assert "budget 20 %; 4 cells per weight" in figure.get_suptitle()


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_caller_s_axes_make_room_for_both_panels(by_hand):
    figure = Figure()
    axes = figure.add_axes((0.2, 0.2, 0.6, 0.6)) if by_hand else figure.subplots(1, 2)[1]
    room = axes.get_position()
    assert Frontier(MIXED).plot(axes) is axes
    left, right = axes.get_position(), figure.axes[-1].get_position()
    assert left.x0 == pytest.approx(room.x0)
    assert left.x1 < right.x0
    assert right.x1 == pytest.approx(room.x1)


def test_a_report_of_cells_alone_tells_of_no_budget():
    found = qc.sweep(NETWORK, "3nm", [1.75, 2.1], cells=[8, 2], methods=METHOD, trials=2, refine=False)
    oxide, smallest = (one for one in sweep_report(found).tables if "Card range" not in one.title)
    assert oxide.columns[:3] == ("method", "cells\n/weight", "overhead\n%")
    assert [row[:2] for row in oxide.rows] == [("channel-optimised", "2"), ("channel-optimised", "8")]
    assert smallest.title.startswith("Smallest number of cells per weight that keeps")


def test_lines_say_cells():
    point = Settled(METHOD, 0.0, 1.8, 0.02, ACCURACY, Interval(0.5, 0.4, 0.6), 20, 4.0)
    assert settled_line(point).startswith("settled: channel-optimised 4 cells, 1.8000 nm, p = 0.02")
    answer = FirstAnswer(METHOD, 0.0, 0.0, Target(0.95), 1.76, 1.7577, 1.7619, 0.107, "crossing", (1.7, 2.0), 4.0)
    assert answer_line(answer).startswith("first answer: channel-optimised at 4 cells per weight keeps 0.95 x clean")


def test_the_first_answer_is_that_of_the_usual_number_of_cells():
    seen = []
    qc.sweep(NETWORK, "3nm", GRID, cells=[2, 7, 12], methods=[METHOD], trials=2, progress=seen.append)
    (answer,) = [state.answer for state in seen if state.answer is not None]
    assert (answer.method, answer.cells) == (METHOD, 7.0)
    assert {state.settled.cells for state in seen if state.settled is not None} == {2.0, 7.0, 12.0}
