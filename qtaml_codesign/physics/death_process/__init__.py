"""Electrons that leave one at a time, counted: kernels of the two tails that no binomial gives."""
