"""L5: networks, their weights as stored codes, and what flips do to them. The first layer that imports torch."""
