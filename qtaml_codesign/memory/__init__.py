"""Weights deployed in the tunnelling memory, and their readings under flips, on the host or on the network's GPU."""
