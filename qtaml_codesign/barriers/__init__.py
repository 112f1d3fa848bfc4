"""The shapes of a tunnelling barrier, one file each: the numbers that a card gives for it, and its WKB action.

`barrier` says what a shape must answer, `registry` which shapes a card can name. `landscape` is the potential that a
shape tells, of which `prefactor` and `exact` make a transmission beyond WKB; they wrap any shape. They stand below the
cards, because a card checks the numbers of its shape and hands the shape on as a value.
"""
