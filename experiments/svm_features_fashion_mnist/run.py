"""Which layer of MobileNetV2 separates clothing best? A linear SVM on each of its blocks, and on raw pixels.

python experiments/svm_features_fashion_mnist/run.py [WEIGHTS] [--images N]

The picture and the features' cache go where the script is called from.
"""

from __future__ import annotations

import argparse
import warnings

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import kerasflow as kf

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("weights", nargs="?", default="imagenet", help="imagenet, or a file for MobileNetV2")
parser.add_argument("--images", type=int, default=2000, metavar="N", help="labelled; half as many are for the test")
asked = parser.parse_args()

warnings.simplefilter("ignore", ConvergenceWarning)
n_test = asked.images // 2
(x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
x, y, x_test, y_test = x[: asked.images], y[: asked.images], x_test[:n_test], y_test[:n_test]

LAYERS = ["Conv1_relu", "expanded_conv_project_BN"]
LAYERS += [f"block_{number}_expand_relu" for number in range(1, 17)]
LAYERS += ["Conv_1", "out_relu"]


def accuracy(features: np.ndarray, features_test: np.ndarray) -> float:
    svm = make_pipeline(StandardScaler(), LinearSVC(C=0.001, max_iter=2000, random_state=0))
    return float(svm.fit(features, y).score(features_test, y_test))


found = {"raw pixels": accuracy(x.reshape(len(x), -1), x_test.reshape(len(x_test), -1))}
extractor = kf.FeatureExtractor(
    "mobilenet_v2", layer=LAYERS, weights=asked.weights, image_size=(96, 96), cache="features"
)
features, features_test = extractor.fit_transform(x), extractor.transform(x_test)  # all layers by one forward pass
owners = np.array([name.rpartition("_")[0] for name in extractor.get_feature_names_out()])
for layer in LAYERS:
    mine = owners == layer
    found[layer] = accuracy(features[:, mine], features_test[:, mine])
for layer, value in found.items():
    print(f"{layer:26} {value:.3f}")

best = max(found, key=lambda layer: found[layer])
figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
colours = ["tab:orange" if name == best else "tab:grey" if name == "raw pixels" else "tab:blue" for name in found]
axes.barh(list(found), list(found.values()), color=colours)
axes.bar_label(axes.containers[0], fmt="%.3f", padding=3, fontsize=8)
axes.invert_yaxis()
axes.set_xlim(0, 1)
axes.set_xlabel(f"accuracy of a linear SVM on {n_test:,} test images, {asked.images:,} labelled to learn from")
axes.set_title("Fashion-MNIST: what each layer of MobileNetV2 separates", loc="left")
figure.savefig("layers.png", dpi=130)
print(f"best: {best}, {found[best]:.3f}; layers.png")
