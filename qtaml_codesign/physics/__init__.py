"""Physics: from a device card to the flip probability of every bit plane, in float64 and in logs.

    card -> WKB action -> escape of one electron -> tail of the escaped electrons -> flip probability

`kernels` holds the bare numba kernels; `barriers` and `escape` the functions above them; `flip` walks the chain for a
card; `validity` says where a result stops being trustworthy; `inverse` walks the chain backwards; `tables` lays it out
over grids of card fields.
"""
