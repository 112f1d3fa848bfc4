"""Stored bits: how a weight becomes a code, how often each of its bits flips, and what is read back."""
