"""Flips at small rates, drawn event by event: time goes with the number of flips, not with the number of cells."""
