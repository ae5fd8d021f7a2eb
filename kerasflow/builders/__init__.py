"""From a spec to plain Keras objects.

Owns the way from names and arguments to layers, models, optimizers, losses and metrics. Takes a `ModelSpec` and the
sizes that the data decides; gives a `keras.Model` with nothing of kerasflow inside. Must not know where data comes
from, how a model is trained, or what is recorded.
"""
