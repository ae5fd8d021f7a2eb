"""Numbers drawn.

Owns: every picture, and the one style that they share.
Takes: plain numbers: rows of a history, arrays of labels, tuples about layers.
Gives: `matplotlib.figure.Figure` objects that belong to no window and to no global state; `save` writes one as a file.
Must not know: where the numbers come from, what a model or a run is. It reads nothing and asks nobody.
"""
