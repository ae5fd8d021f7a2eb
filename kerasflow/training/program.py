"""Compiled programs, and the pool that lends one to every model of the same making.

A program is traced once, on one model's variables, and takes them as arguments: TensorFlow captures a variable as a
handle, and a handle of another model's variable of the same shape does as well. So a second fit of an architecture,
with other weights, rate, seed and data, compiles nothing, and no value is copied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import all_variables
from kerasflow.training.making import making
from kerasflow.training.unchanging import known_of

POOLED = 32  # programs kept; the least recently used goes first


class Program:
    """A function of tensors and variables, compiled for arguments of one kind.

    Args:
        function: gives a nest of tensors; reads and writes no variables but those given.
        specs: a `tf.TensorSpec` (or None) for each argument, nested as the arguments will be.
        variables: all that the function may read or write.
        engine: `graph` or `xla`.
    """

    def __init__(
        self, function: Callable[..., Any], specs: Sequence[Any], variables: Sequence[Any], engine: str
    ) -> None:
        import tensorflow as tf

        own = partial(function)  # TensorFlow counts traces by code object, and warns of a new model as of a new shape
        traced = tf.function(own, jit_compile=engine == "xla", autograph=False).get_concrete_function(*specs)
        places = {id(variable.handle): place for place, variable in enumerate(variables)}
        self.call = traced.inference_fn.call_flat
        self.outputs = traced.structured_outputs
        self.captures = [places.get(id(tensor), tensor) for tensor in traced.captured_inputs]
        self.shareable = all(isinstance(capture, int) for capture in self.captures)
        if self.shareable:
            traced.graph.function_captures.clear()  # they would keep the first model's variables alive

    def on(self, variables: Sequence[Any]) -> Callable[..., Any]:
        """The program on these variables, which are in the order of those that it was traced with."""
        import keras
        import tensorflow as tf

        handles = [variables[c].handle if isinstance(c, int) else c for c in self.captures]

        def call(*arguments: Any) -> Any:
            leaves = tf.nest.flatten(arguments, expand_composites=True)
            tensors = [tf.convert_to_tensor(leaf) for leaf in leaves if leaf is not None]
            return keras.tree.pack_sequence_as(self.outputs, self.call(*tensors, *handles) or [])

        return call


class Compiler:
    """Compiles functions of one model's variables.

    Args:
        variables: all that its functions may read or write.
        engine: `graph`, `xla` or `eager`.
        making: equal for models whose programs are the same but for the variables; None if that cannot be known.
    """

    _pool: OrderedDict[Hashable, Program] = OrderedDict()

    def __init__(self, variables: Sequence[Any], engine: str, making: Hashable | None) -> None:
        self.variables, self.engine, self.making = variables, engine, making

    def __call__(self, name: Hashable, function: Callable[..., Any], specs: Sequence[Any]) -> Callable[..., Any]:
        """The function as the engine runs it.

        Args:
            name: tells this function from others of a model of this making.
            specs: see `Program`.

        Raises:
            TrainingError: XLA is to take text.
        """
        if self.engine == "eager":
            return function
        check_no_text(self.engine, specs)
        if self.making is None:
            return Program(function, specs, self.variables, self.engine).on(self.variables)
        key = (self.making, self.engine, name, _hashable(specs))
        program = self._pool.pop(key, None) or Program(function, specs, self.variables, self.engine)
        if program.shareable:
            self._pool[key] = program
            while len(self._pool) > POOLED:
                self._pool.popitem(last=False)
        return program.on(self.variables)


def check_no_text(engine: str, parts: Any) -> None:
    """Refuses text, as tensors or specs, under XLA: TensorFlow 2.21 does not always raise, it may end the process.

    Raises:
        TrainingError: the engine is `xla`, and there is text.
    """
    import tensorflow as tf

    if engine == "xla" and any(getattr(part, "dtype", None) == tf.string for part in tf.nest.flatten(parts)):
        raise TrainingError("engine 'xla' cannot run this model; give 'graph' or 'auto': it has no kernel for text")


def compiler_for(model: Any, engine: str) -> Compiler:
    """The compiler of functions that read and write a compiled, built model, its optimizer and its metrics."""
    return Compiler(all_variables(model), engine, _making(model))


def _making(model: Any) -> str | None:
    known = known_of(model)
    if known is None:
        return making(model)
    known.making = known.making or making(model)
    return known.making


def spec_of(tensor: Any, any_length: bool = False) -> Any:
    """The kind of a tensor, or of an array; None of None.

    Args:
        any_length: whether the first axis may have another length in the next call.
    """
    import tensorflow as tf

    if tensor is None:
        return None
    shape = tensor.shape
    return tf.TensorSpec([None, *shape[1:]] if any_length else shape, tensor.dtype)


def _hashable(specs: Any) -> Hashable:
    import tensorflow as tf

    flat = [None if spec is None else spec for spec in tf.nest.flatten(specs)]
    places = tf.nest.pack_sequence_as(specs, list(range(len(flat))))
    return repr(places), tuple(flat)
