"""Labels, markers and colours of the methods: no two alike, also to the colour-blind and in grey."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from qtaml_codesign.plots import style
from qtaml_codesign.tac.methods import METHODS, method_label


def test_every_method_has_a_label_and_a_marker_of_its_own():
    assert len({method_label(method) for method in METHODS}) == len(METHODS)
    looks = style.looks(pd.DataFrame({"method": METHODS}))
    assert len({look.marker for look in looks.values()}) == len(METHODS)
    assert method_label("tac") == "TAC"
    assert method_label("none") == "uncompensated"


# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291, severity 1.
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def lab(colour, sight):
    """CIE L*a*b* of a colour as seen with a matrix of linear RGB."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(sight) @ linear, 0.0, 1.0) / (0.9505, 1.0, 1.089)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.array([116.0 * root[1] - 16.0, 500.0 * (root[0] - root[1]), 200.0 * (root[1] - root[2])])


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["normal", "deuteranopia", "protanopia"])
def test_method_colours_stay_apart(sight):
    seen = [lab(colour, sight) for colour in style.COLOURS]
    assert min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2)) > 15.0


def test_the_first_method_colours_stay_apart_in_grey():
    lightness = sorted(lab(colour, np.eye(3))[0] for colour in style.COLOURS[:4])
    assert min(np.diff(lightness)) > 10.0


def test_no_number_of_cells_looks_like_the_target():
    """CIE distance; that of the method colours from one another is 15 at least."""
    for count in range(2, 8):
        points = pd.DataFrame({"method": "joint", "budget": 0.0, "cells": np.arange(1.0, count + 1.0)})
        seen = [lab(tuple(colour)[:3], np.eye(3)) for colour in style.colours_of(points).values()]
        assert len(seen) == count
        assert min(np.linalg.norm(one - lab(style.TARGET, np.eye(3))) for one in seen) > 40.0
