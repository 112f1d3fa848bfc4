"""Physics: from a device card to the flip probability of every bit plane, in float64 and in logs.

    card -> WKB action -> escape of one electron -> tail of the escaped electrons -> flip probability

`kernels` holds the bare numba kernels; `binomial` takes them over many points at once; `escape` is the function above
them; the WKB action is that of the card's barrier (`qtaml_codesign.barriers`); `flip` walks the chain for a card;
`cells` for millions of cells of one card that differ in thickness; `validity` says where a result stops being
trustworthy; `inverse` walks the chain backwards; `tables` lays it out over grids of card fields.
"""
