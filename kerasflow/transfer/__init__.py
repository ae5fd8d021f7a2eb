"""A trained network put to other work: its layers tapped, its features extracted.

Owns taps (the outputs of any layers, nested ones too, by one forward pass), features of images with their cache on
disk, and the probe that watches them while a model trains. Takes a `keras.Model`, images as arrays, folders or
datasets; gives arrays. Must not know specs, run folders, trackers or scikit-learn's rules.
"""
