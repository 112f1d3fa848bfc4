"""L9: the sweep over oxide thickness, method and ECC budget; results named by their content, kept as counts."""
