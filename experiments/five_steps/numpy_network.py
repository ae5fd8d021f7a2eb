"""A single-layer network in five steps, in plain NumPy: who of six people has diabetes?

The figures are invented. Nothing is hidden: each derivative of the chain rule has a line of its own.
"""

from __future__ import annotations

import numpy as np

# 1. Independent variables X and the dependent variable y: smokes, is overweight, exercises -> has diabetes.
X = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype="float64")
y = np.array([[1], [0], [0], [1], [1], [0]], dtype="float64")

# 2. Hyperparameters, which are fixed before learning begins.
learning_rate, epochs, seed = 1.0, 1000, 0
first_weights = np.random.default_rng(seed).uniform(-0.5, 0.5, (3, 1))
first_bias = np.zeros(1)


# 3. The activation function and its derivative.
def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def sigmoid_derivative(z: np.ndarray) -> np.ndarray:
    return sigmoid(z) * (1 - sigmoid(z))


# 4. Training: forward, cost, backward, update; the cost is the mean of the squared errors.
weights, bias, costs = first_weights.copy(), first_bias.copy(), []
for _ in range(epochs):
    z = X @ weights + bias
    output = sigmoid(z)
    costs.append(float(np.mean((output - y) ** 2)))
    dE_dO = 2 * (output - y) / len(X)
    dO_dZ = sigmoid_derivative(z)
    dE_dZ = dE_dO * dO_dZ
    weights -= learning_rate * (X.T @ dE_dZ)  # dZ/dw is x
    bias -= learning_rate * dE_dZ.sum(axis=0)  # dZ/db is 1

# 5. Predictions, of people whom it has not seen.
people = np.array([[1, 0, 1], [0, 1, 1]], dtype="float64")
predictions = sigmoid(people @ weights + bias)

if __name__ == "__main__":
    print(f"cost: {costs[0]:.4f} before the first epoch, {costs[-1]:.4f} before the last")
    print(f"weights: {weights.ravel().round(4)}, bias: {bias.round(4)}")
    print(f"smokes and exercises: {predictions[0, 0]:.3f}; is overweight and exercises: {predictions[1, 0]:.3f}")
