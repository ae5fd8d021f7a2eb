"""What is wanted, and nothing of how it is done.

Owns the experiment as a value: its fields, their defaults, how it is read from YAML and written back, its hash, its
JSON Schema. Takes text, dicts and overrides; gives an `ExperimentSpec`, or a `SpecError` with every fault at its line.
Must not know TensorFlow, Keras (beyond the text of its source, see `catalogue`), MLflow, or any data.
"""
