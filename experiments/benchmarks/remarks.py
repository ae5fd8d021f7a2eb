"""Why a target is missed, by row and peer; printed below the table for as long as it is."""

from __future__ import annotations

from rows import KERAS, PREDICT, SCIKERAS, SKLEARN, TORCH

_ARITHMETIC = (
    "most of an update is XLA's arithmetic, forward and backward; it shrinks no further by asking the host less."
)
_CONVOLUTIONS = (
    "nearly all of it is TensorFlow's convolutions, the same for both; what the loop around them can save is"
)
_SMALL = (
    "its 61 fits make 41,600 updates of networks so small that the calls around the arithmetic take most of the time: "
    "Adam's operations alone are a tenth; tracing two programs is a second more. `auto` leaves XLA out: every number "
    "of rows, units and samples a batch would compile anew."
)
REMARKS: dict[tuple[str, str], str] = {
    ("mlp-32", KERAS): _ARITHMETIC,
    ("mlp-32", f"{KERAS}, 64 steps a call"): _ARITHMETIC,
    ("mlp-first-fit", SKLEARN): "MLPClassifier compiles nothing; more than half of kerasflow's fit is tracing and "
    "TensorFlow's preparing of the graph.",
    ("mlp-second-fit", SKLEARN): "nothing is traced again (a test counts), but 940 updates as a graph take most of it. "
    "`auto` asks the model and the data alone, not what happens to be compiled already, or two runs of one spec would "
    "round differently.",
    ("grid-search", SCIKERAS): "the target lies within the spread of the readings.",
    ("grid-search", SKLEARN): _SMALL,
    ("recorded", "the same without a record"): "journal and machine's load take what the next line shows; the rest is "
    "MLflow's own writing of each point into SQLite, by a thread beside the training, 0.15 ms a point.",
    (
        "sweep-start",
        f"{SKLEARN}, joblib, 2 workers",
    ): "MLPClassifier needs no TensorFlow, whose import alone takes 3 s, "
    "and keeps two cores busy with one trial each; a trial of kerasflow takes 0.3 s, half of it arithmetic.",
    ("features-mobilenet", PREDICT): "nearly all of it is TensorFlow's convolutions, the same that Keras' predict "
    "calls: the CPU seconds of both are equal.",
    ("cross-validation", SKLEARN): "likewise; in CPU seconds the two take about the same.",
    ("mobilenet-32", f"{TORCH}, channels last"): "nearly all of it is TensorFlow's kernels, the same that Keras' fit "
    "calls: the CPU seconds of both are equal.",
    ("window-time", f"{KERAS}, 512 at once"): f"{_CONVOLUTIONS} in the ratio of CPU seconds.",
    ("window-time", f"{KERAS}, accumulating"): f"{_CONVOLUTIONS} in the ratio of CPU seconds.",
    (
        "window-memory",
        f"{KERAS}, 512 at once",
    ): "it takes what Keras' fit takes for one batch of 32, see the next line.",
    (
        "window-memory-mobilenet",
        f"{KERAS}, 512 at once",
    ): "the threads of TensorFlow keep memory of their own in glibc's "
    "arenas, and how much differs by 0.2 GB between processes; `MALLOC_ARENA_MAX=1 python run.py --only "
    "window-memory-mobilenet` shows 1.1 GB.",
}
