"""The same networks for torch, channels first as torch counts them. Imported only where torch is installed."""

from __future__ import annotations

import torch
from tasks import CLASSES, HIDDEN, Task
from torch import nn


def torch_model(task: Task, seed: int) -> nn.Module:
    """The network, giving logits, its weights drawn from the seed."""
    torch.manual_seed(seed)
    if task.network == "mlp":
        first, second = HIDDEN
        (inputs,) = task.input_shape
        return nn.Sequential(
            nn.Linear(inputs, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, CLASSES)
        )
    if task.network == "cnn":
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(), nn.Linear(128, CLASSES)),
        )
    return _mobilenet_v2()


# Of each group of blocks: expansion, output channels, blocks, stride of the first. Sandler et al. 2018, table 2.
_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
    channels = 32
    for expansion, outputs, blocks, stride in _GROUPS:
        for block in range(blocks):
            layers.append(_InvertedResidual(channels, outputs, expansion, stride if block == 0 else 1))
            channels = outputs
    layers += [_convolution(channels, 1280, kernel=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES)]
    return nn.Sequential(*layers)


class _InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [_convolution(inputs, inner, kernel=1)] if expansion > 1 else []
        self.path = nn.Sequential(
            *expand,
            _convolution(inner, inner, kernel=3, stride=stride, groups=inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.path(x) if self.skips else self.path(x)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class OneHiddenLayer(nn.Sequential):
    """The digits' perceptron, giving logits."""

    def __init__(self, units: int = 32) -> None:
        super().__init__(nn.Linear(64, units), nn.ReLU(), nn.Linear(units, CLASSES))
