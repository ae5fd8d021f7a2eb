"""From scratch, transfer, features: one network, one data set, few and more labelled images.

python experiments/three_routes/run.py [WEIGHTS] [--images N ...] [--routes scratch transfer features] [--quick]

Run folders, the picture and MLflow's store go where the script is called from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

import kerasflow as kf

ROUTES = ("scratch", "transfer", "features")
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("weights", nargs="?", default="imagenet", help="imagenet, or a file for EfficientNet-Lite0")
parser.add_argument(
    "--images", nargs="+", type=int, default=[100, 300, 1000], metavar="N", help="labelled, each a round"
)
parser.add_argument("--quick", action="store_true", help="one epoch, 50 test images, no MLflow: a rehearsal")
parser.add_argument("--routes", nargs="+", default=ROUTES, choices=ROUTES, help="all three if none are named")
asked = parser.parse_args()

spec = kf.load_spec(Path(__file__).with_name("spec.yaml"))
if asked.quick:
    once = [stage.model_copy(update={"epochs": 1}).model_dump(mode="json") for stage in spec.train.stages]
    few = {"data.take.test": 50, "train.stages": once, "train.engine": "eager", "track.uri": "none"}
    spec = kf.load_spec(spec, few)
CHANGES = {
    "scratch": {
        "model.backbone.weights": "none",
        "train.route": "scratch",
        "train.stages": [],
        "train.batch_norm": "micro",
        "train.epochs": 1 if asked.quick else 10,
    },
    "transfer": {"model.backbone.weights": asked.weights},
    "features": {
        "model.backbone.weights": asked.weights,
        "train.route": "features",
        "train.stages": [],
        "train.classifier": {"svm": {"C": 0.01}},
    },
}
LABELLED, SECONDS, ACCURACY = "data/labelled", "perf/train_seconds", "test/accuracy"

folders = []
for labelled in asked.images:
    for route in asked.routes:
        named = {"name": f"{route} - {labelled} images", "data.take.train": labelled}
        result = kf.run(spec, CHANGES[route] | named, verbose=0)
        folders.append(result.folder)
        accuracy, seconds = result.metrics[ACCURACY], result.metrics[SECONDS]
        print(f"{route:8} {labelled:5} labelled images: test accuracy {accuracy:.3f}, {seconds:4.0f} s", flush=True)

found = kf.compare(folders).to_frame()  # the same numbers are metrics of each run in MLflow
figure, panels = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
for route in asked.routes:
    runs = found[found.index.str.startswith(route)]
    for axes, name in zip(panels, (LABELLED, SECONDS), strict=True):
        axes.plot(runs[name], runs[ACCURACY], marker="o", label=route)
for labelled, accuracy, seconds in zip(found[LABELLED], found[ACCURACY], found[SECONDS], strict=True):
    panels[1].annotate(f"{labelled:.0f}", (seconds, accuracy), (5, -10), textcoords="offset points", fontsize=8)
panels[0].set_xscale("log")
panels[0].set_xticks(sorted(set(found[LABELLED])), [f"{n:.0f}" for n in sorted(set(found[LABELLED]))])
panels[0].minorticks_off()
panels[0].set_xlabel("labelled images")
panels[0].set_ylabel(f"accuracy on {spec.data.take.test} test images")
panels[1].set_xscale("log")
panels[1].margins(x=0.12)
panels[1].set_xlabel("seconds of training; beside each point, its labelled images")
for axes in panels:
    axes.grid(alpha=0.3)
panels[0].legend()
figure.suptitle("Fashion-MNIST: one network, three ways to train it", x=0.01, ha="left")
figure.savefig("comparison.png", dpi=110)
print(f"comparison.png; compare: kerasflow compare {spec.experiment}")
