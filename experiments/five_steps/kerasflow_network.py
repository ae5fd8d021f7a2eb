"""The same network as in `numpy_network.py`, in the same five steps, in Keras and kerasflow."""

from __future__ import annotations

import runpy
from pathlib import Path

import keras
import numpy as np

import kerasflow as kf

# 1. Independent variables and the dependent variable; 2. hyperparameters: those of the other file.
by_hand = runpy.run_path(str(Path(__file__).with_name("numpy_network.py")), run_name="by_hand")
X, y, people = by_hand["X"], by_hand["y"], by_hand["people"]
learning_rate, epochs = by_hand["learning_rate"], by_hand["epochs"]

# 3. The activation function; its derivative is TensorFlow's.
neuron = keras.layers.Dense(1, activation="sigmoid", dtype="float64")
model = keras.Sequential([keras.Input((3,), dtype="float64"), neuron])
model.set_weights([by_hand["first_weights"], by_hand["first_bias"]])

# 4. Training: all six people are one batch, so an epoch is one update, as by hand.
model.compile(keras.optimizers.SGD(learning_rate), keras.losses.MeanSquaredError(dtype="float64"))
history = kf.fit(model, X, y, batch_size=len(X), epochs=epochs, verbose=0)
weights, bias = model.get_weights()

# 5. Predictions.
predictions = model.predict(people, verbose=0)

if __name__ == "__main__":
    difference = max(np.abs(weights - by_hand["weights"]).max(), np.abs(bias - by_hand["bias"]).max())
    print(f"cost: {history.rows[0]['loss']:.4f} before the first epoch, {history.rows[-1]['loss']:.4f} before the last")
    print(f"weights: {weights.ravel().round(4)}, bias: {bias.round(4)}")
    print(f"smokes and exercises: {predictions[0, 0]:.3f}; is overweight and exercises: {predictions[1, 0]:.3f}")
    print(f"largest difference from the weights by hand: {difference:.1e}")
