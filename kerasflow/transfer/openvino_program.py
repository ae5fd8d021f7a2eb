"""A TensorFlow function compiled by OpenVINO for this machine's processor: the one place that names it."""

from __future__ import annotations

import logging
import os
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import BuildError, MissingExtra, sentence

Precision = Literal["float32", "bfloat16"]

AT_ONCE = min(len(os.sched_getaffinity(0)), 8)
"""Calls that a program computes at the same time; each holds memory of its own."""

_log = logging.getLogger(__name__)

_TYPES: dict[Precision, tuple[str, str]] = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16")}
"""What OpenVINO calls them, where they are asked for and among a processor's capabilities."""


class OpenVINOProgram:
    """A function of one tensor, with the values that its variables have now; any thread may call it.

    Args:
        function: a concrete `tf.function` of a batch `(n, ...)`, which gives one tensor.
        precision: that it computes in. Without being told, OpenVINO takes bfloat16 where the processor has it.

    Raises:
        MissingExtra: OpenVINO is not installed.
        BuildError: OpenVINO cannot convert the function, or the processor does not have the precision.
    """

    def __init__(self, function: Any, precision: Precision) -> None:
        hint, capability = _TYPES[precision]
        openvino = installed()
        core = openvino.Core()
        if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BuildError(f"this machine's processor does not compute in {precision}; precision='float32' always is")
        try:
            # Memory that is shared would change under what has been compiled, when the network goes on training.
            model = openvino.convert_model(function, share_weights=False)
            hints = {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": AT_ONCE}
            compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **hints})
        except Exception as error:  # its own class is of no public name
            raise BuildError(
                f"OpenVINO cannot compile this network: {_reason(error)}; engine='tensorflow' can"
            ) from error
        if precision == "bfloat16":
            _log.info("computing in bfloat16, of 8 significant bits: expect features that deviate by about 0.5 %")
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._free.put(compiled.create_infer_request())

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """What the function gives for a batch; where `AT_ONCE` are being computed, it waits."""
        request = self._free.get()
        try:
            return np.array(request.infer(batch, share_inputs=True)[0])
        finally:
            self._free.put(request)


def installed() -> Any:
    """The package.

    Raises:
        MissingExtra: there is none.
    """
    try:
        import openvino
    except ImportError:
        raise MissingExtra("engine='openvino' needs a package: pip install 'kerasflow[openvino]'") from None
    return openvino


def _reason(error: Exception) -> str:
    """What it says in the middle of its report, such as `No conversion rule found for operations: PyFunc`."""
    found = [line.removeprefix("-- ") for line in str(error).splitlines() if line.startswith("-- ")]
    return found[0] if found else sentence(error)
