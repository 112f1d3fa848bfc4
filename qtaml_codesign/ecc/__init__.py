"""Protection of stored bits: what it buys, what it costs, and what no code can beat."""
