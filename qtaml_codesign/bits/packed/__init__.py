"""Several small tensors read in one call: the flips of `bits.kernels`, then a table of values."""
