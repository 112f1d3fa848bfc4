"""How a group of weights is held in cells: each kind of store is one file with one codec."""
