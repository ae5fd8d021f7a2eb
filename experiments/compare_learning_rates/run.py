"""Plain gradient descent with four learning rates, side by side: too high fluctuates, too low is slow.

Run folders, the picture and MLflow's store go where the script is called from.
"""

from __future__ import annotations

from pathlib import Path

import kerasflow as kf
from kerasflow.comparison import draw

spec = kf.load_spec(Path(__file__).with_name("spec.yaml"))
folders = []
for alpha in (1.0, 0.1, 0.01, 0.001):
    print(f"alpha = {alpha:g} ...", flush=True)
    changes = {"name": f"alpha {alpha:g}", "train.optimizer.sgd.learning_rate": alpha}
    folders.append(kf.run(spec, changes, verbose=0).folder)

found = kf.compare(folders)
columns = ["val/loss", "val/accuracy", "test/accuracy", "stop_reason"]
print(found.to_frame()[columns].to_string(float_format="{:.3f}".format))
print(f"cost curves: {draw(found, spec.experiment)}")
