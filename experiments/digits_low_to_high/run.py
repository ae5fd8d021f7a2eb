"""What 0 to 4 have taught helps with 5 to 9: three ways to train, on few and more labelled digits.

Run folders, the picture and MLflow's store go where the script is called from.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import matplotlib.pyplot as plt

import kerasflow as kf

HERE = Path(__file__).parent
HIGH = [5, 6, 7, 8, 9]

parser = ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--held-out", type=float, nargs="+", default=[0.98, 0.95, 0.8], help="shares of 5 to 9 to test on")
held_out_shares = parser.parse_args().held_out

low = kf.run(HERE / "spec.yaml", verbose=0)
print(f"0 to 4: test accuracy {low.metrics['test/accuracy']:.3f}", flush=True)

carried = {"model.backbone.model": str(low.folder / "model.keras")}
WAYS = {
    "scratch": (HERE / "spec.yaml", {"data.take.classes": HIGH, "train.stop": []}),
    "transfer": (HERE / "high.yaml", carried),
    "features": (HERE / "high.yaml", carried | {"train.route": "features", "train.stages": []}),
}
curves: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
for held_out in held_out_shares:
    for way, (spec, changes) in WAYS.items():
        split = {"test": held_out, "validation": 0}
        result = kf.run(spec, changes | {"name": f"high-{way}-{held_out}", "data.split": split}, verbose=0)
        labelled, accuracy = result.metrics["data/labelled"], result.metrics["test/accuracy"]
        curves[way].append((labelled, accuracy))
        print(f"5 to 9 by {way:8} from {labelled:3.0f} labelled digits: test accuracy {accuracy:.3f}", flush=True)

figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
for way, points in curves.items():
    axes.plot(*zip(*points, strict=True), marker="o", label=way)
axes.set_xscale("log")
axes.set_xticks(
    [labelled for labelled, _ in curves["scratch"]], [f"{n:.0f}" for n, _ in curves["scratch"]], minor=False
)
axes.minorticks_off()
axes.set_xlabel("labelled digits from 5 to 9")
axes.set_ylabel("accuracy on the others")
axes.set_title("Digits 5 to 9, with and without what 0 to 4 have taught", loc="left")
axes.grid(alpha=0.3)
axes.legend()
figure.savefig("accuracy.png", dpi=110)
print("accuracy.png")
