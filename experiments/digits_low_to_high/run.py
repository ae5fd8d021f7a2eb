"""What 0 to 4 have taught helps with 5 to 9: three ways to train on few labelled digits, beside each other.

Run folders and MLflow's store go where the script is called from.
"""

from __future__ import annotations

from pathlib import Path

import kerasflow as kf

HERE = Path(__file__).parent
HIGH, FEW = [5, 6, 7, 8, 9], {"test": 0.8, "validation": 0.1}

low = kf.run(HERE / "low.yaml", verbose=0)
print(f"0 to 4: test accuracy {low.metrics['test/accuracy']:.3f}", flush=True)

scratch = {"name": "high-from-scratch", "data.take.classes": HIGH, "data.split": FEW}
carried = {"model.backbone.model": str(low.folder / "model.keras")}
features = carried | {"name": "high-by-features", "train.route": "features", "train.stages": []}
ways = {
    "scratch": (HERE / "low.yaml", scratch),
    "transfer": (HERE / "high.yaml", carried),
    "features": (HERE / "high.yaml", features),
}
folders = []
for way, (spec, changes) in ways.items():
    result = kf.run(spec, changes, verbose=0)
    print(f"5 to 9 by {way}: test accuracy {result.metrics['test/accuracy']:.3f}", flush=True)
    folders.append(result.folder)

found = kf.compare(folders).to_frame()
print(found[["test/accuracy", "stop_reason"]].to_string(float_format="{:.3f}".format))
