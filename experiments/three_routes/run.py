"""From scratch, transfer, features: one network, one data set, few and more labelled images.

python experiments/three_routes/run.py [WEIGHTS]     # imagenet if none are named; else a file for EfficientNet-Lite0

Run folders, the picture and MLflow's store go where the script is called from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import kerasflow as kf

spec = kf.load_spec(Path(__file__).with_name("spec.yaml"))
weights = sys.argv[1] if len(sys.argv) > 1 else "imagenet"
ROUTES = {
    "scratch": {
        "model.backbone.weights": "none",
        "train.route": "scratch",
        "train.stages": [],
        "train.batch_norm": "micro",
        "train.epochs": 10,
    },
    "transfer": {"model.backbone.weights": weights},
    "features": {
        "model.backbone.weights": weights,
        "train.route": "features",
        "train.stages": [],
        "train.classifier": {"svm": {"C": 0.01}},
    },
}
LABELLED, SECONDS, ACCURACY = "data/labelled", "perf/train_seconds", "test/accuracy"

folders = []
for labelled in (100, 300, 1000):
    for route, changes in ROUTES.items():
        named = {"name": f"{route} - {labelled} images", "data.take.train": labelled}
        result = kf.run(spec, changes | named, verbose=0)
        folders.append(result.folder)
        accuracy, seconds = result.metrics[ACCURACY], result.metrics[SECONDS]
        print(f"{route:8} {labelled:5} labelled images: test accuracy {accuracy:.3f}, {seconds:4.0f} s", flush=True)

found = kf.compare(folders).to_frame()  # the same numbers are metrics of each run in MLflow
figure, panels = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
for route in ROUTES:
    runs = found[found.index.str.startswith(route)]
    for axes, name in zip(panels, (LABELLED, SECONDS), strict=True):
        axes.plot(runs[name], runs[ACCURACY], marker="o", label=route)
for labelled, accuracy, seconds in zip(found[LABELLED], found[ACCURACY], found[SECONDS], strict=True):
    panels[1].annotate(f"{labelled:.0f}", (seconds, accuracy), (5, -10), textcoords="offset points", fontsize=8)
panels[0].set_xscale("log")
panels[0].set_xticks(sorted(set(found[LABELLED])), [f"{n:.0f}" for n in sorted(set(found[LABELLED]))])
panels[0].minorticks_off()
panels[0].set_xlabel("labelled images")
panels[0].set_ylabel("accuracy on 500 test images")
panels[1].set_xscale("log")
panels[1].margins(x=0.12)
panels[1].set_xlabel("seconds of training; beside each point, its labelled images")
for axes in panels:
    axes.grid(alpha=0.3)
panels[0].legend()
figure.suptitle("Fashion-MNIST: one network, three ways to train it", x=0.01, ha="left")
figure.savefig("comparison.png", dpi=110)
print(f"comparison.png; compare: kerasflow compare {spec.experiment}")
