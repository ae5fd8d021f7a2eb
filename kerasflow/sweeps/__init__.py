"""Many runs of one spec, and the best of them.

Owns the search: what a trial's values are, who runs it, what becomes of it if its worker dies, what came of all.
Takes a spec with `sweep:`; gives a `Study`. Stands on Optuna (extra `sweep`), whose storage is all that workers share.
Must not know how a run is trained: `assembly` makes it, the trainer trains it.
"""
