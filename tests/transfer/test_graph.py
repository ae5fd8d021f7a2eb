"""Each private name of Keras that the walk through a graph leans on, held to the installed Keras."""

from __future__ import annotations

import keras

from kerasflow.transfer.graph import calls_of, graph_of, values

LAYERS = keras.layers


def test_a_graph_is_known_of_functional_and_built_sequential_models_alone(nested) -> None:
    assert graph_of(nested) is nested
    block = nested.get_layer("backbone").get_layer("block3")
    assert graph_of(block) is block._functional
    assert graph_of(keras.Sequential([LAYERS.Dense(2)])) is None
    assert graph_of(LAYERS.Dense(2)) is None

    class Own(keras.Model):
        def call(self, x):
            return x

    class Functional(keras.Model):
        """A subclass that adds nothing to how it computes."""

    x = keras.Input((2,))
    assert graph_of(Own()) is None
    assert graph_of(Functional(x, LAYERS.Dense(2)(x))) is not None


def test_calls_come_in_an_order_in_which_they_can_be_computed(nested) -> None:
    known = {id(tensor) for tensor in graph_of(nested).inputs}
    for call in calls_of(nested):
        if len(call.nodes) == 1:
            assert {id(tensor) for tensor in call.nodes[0].input_tensors} <= known
            known |= {id(tensor) for tensor in call.outputs}
    assert known >= {id(tensor) for tensor in nested.outputs}


def test_operations_that_are_no_layers_are_calls_too(nested) -> None:
    names = [type(call.layer).__name__ for call in calls_of(nested)]
    assert "Multiply" in names  # x * 0.5


def test_values_of_one_nested_model_that_is_called_twice_are_told_apart() -> None:
    inside = keras.Input((2,))
    tower = keras.Model(inside, LAYERS.Dense(2, name="dense")(inside), name="tower")
    left, right = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([left, right], LAYERS.Add()([tower(left), tower(right)]))
    calls = {call.path: call for call in calls_of(model)}
    assert {"tower#1/dense", "tower#2/dense"} <= set(calls)
    x = [keras.ops.ones((1, 2)), keras.ops.zeros((1, 2))]
    found = values(model, x, {path: calls[path].nodes for path in ("tower#1/dense", "tower#2/dense", "tower#1")})
    assert bool(keras.ops.all(found["tower#1/dense"] == tower(x[0])))
    assert bool(keras.ops.all(found["tower#1"] == tower(x[0])))
    assert bool(keras.ops.all(found["tower#2/dense"] == 0))
