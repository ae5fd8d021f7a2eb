"""The exact loop.

Owns the gradient of a window, the moment at which variables may change, the count of epochs, the rules that stop and
the history that remains. Takes a `keras.Model`, arrays or a dataset, and settings; gives a `History`. Must not know
specs, files or
trackers: whoever wants to record passes `on_epoch`.
"""
