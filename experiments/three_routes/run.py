"""From scratch, transfer, features: one network, one data set, few and more labelled images.

python experiments/three_routes/run.py [WEIGHTS]     # imagenet if none are named; else a file for MobileNetV2

Run folders, the picture and MLflow's store go where the script is called from.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import kerasflow as kf
from kerasflow.comparison import draw

spec = kf.load_spec(Path(__file__).with_name("spec.yaml"))
weights = sys.argv[1] if len(sys.argv) > 1 else "imagenet"
ROUTES = {
    "scratch": {
        "model.backbone.weights": "none",
        "train.route": "scratch",
        "train.stages": [],
        "train.batch_norm": "micro",
        "train.epochs": 12,
    },
    "transfer": {"model.backbone.weights": weights},
    "features": {"model.backbone.weights": weights, "train.route": "features", "train.stages": []},
}
folders, rows = [], []
for labelled in (250, 1000):
    for route, changes in ROUTES.items():
        began = time.perf_counter()
        named = {"name": f"{route} - {labelled} images", "data.take.train": labelled}
        result = kf.run(spec, changes | named, verbose=0)
        rows.append((route, labelled, result.metrics["test/accuracy"], time.perf_counter() - began))
        folders.append(result.folder)
        print("{:9} {:5} labelled images: test accuracy {:.3f}, {:.0f} s".format(*rows[-1]), flush=True)

print(f"compare: kerasflow compare {spec.experiment}")
print(f"cost curves: {draw(kf.compare(folders), spec.experiment)}")
