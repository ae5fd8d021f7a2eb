"""Where a run's numbers are kept: the run folder, which is the truth, and a tracking store, which mirrors it.

Owns: the `Tracker` port, its in-process twin and the one MLflow adapter; the run folder and its history on disk; the
    comparison of runs as numbers.
Takes: rows of a history, the resolved spec as a plain document, paths of files already written.
Gives: a tracked run, a folder on disk, a `Comparison`.
Must not know: how a model is trained or drawn, what a spec's classes look like, who calls it. Only `mlflow_tracker` and
    its `mlflow_calls` know MLflow, and nothing here imports it before it is used.
"""
