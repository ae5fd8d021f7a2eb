"""scikit-learn's rules, kept by Keras models.

Owns `KerasClassifier`, `KerasRegressor` and `FeatureExtractor`: parameters that are only stored, data checked in
scikit-learn's words, labels encoded and decoded, models made anew for each fit, pickles without live objects. Takes
whatever a scikit-learn estimator takes; gives the same. Must not know how a gradient is computed, or which store keeps
a run.
"""
