"""One window: micro-batches in a row, one gradient, one update; nothing moves before the last of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import flatten_layers, inference_only, is_seed, n_losses, state_variables
from kerasflow.training.objective import folded, shares, weight_penalties
from kerasflow.training.optimizer_internals import shared_work_once


class Batch(NamedTuple):
    """Inputs, targets and sample weights with the same first axis, nested as the model has them, or None."""

    x: Any
    y: Any
    weight: Any


class Sums(NamedTuple):
    """What a window carries from one micro-batch to the next, all of it tensors.

    Attributes:
        gradients: for each share of the cost, the gradients of its numerator by variable (None where not connected).
        numerators, divisors: of each share, summed; a divisor is None where there is nothing to divide by.
        seeds: states of the random generators, which go on with every micro-batch.
        moving: for each BatchNormalization, sums over samples of (moving mean, moving variance, squared shift of the
            mean).
        others: any other state that a forward pass writes; the last micro-batch's (None where it wrote nothing).
    """

    gradients: Any
    numerators: Any
    divisors: Any
    seeds: Any
    moving: Any
    others: Any

    def tensors(self) -> list[Any]:
        """The tensors alone, without the Nones, in a fixed order."""
        import tensorflow as tf

        return [leaf for leaf in tf.nest.flatten(tuple(self)) if leaf is not None]

    def filled(self, tensors: list[Any]) -> Sums:
        """Sums of this structure with other tensors, in the order of `tensors()`."""
        import tensorflow as tf

        rest = iter(tensors)
        leaves = [None if leaf is None else next(rest) for leaf in tf.nest.flatten(tuple(self))]
        return Sums(*tf.nest.pack_sequence_as(tuple(self), leaves))


class Auxiliary(NamedTuple):
    """Heads that learn beside a model's own, in training alone (Szegedy et al. 2015, "Going deeper with convolutions",
    section 5: auxiliary classifiers).

    Attributes:
        model: of the same variables; gives what the model gives, then what each head gives for the same targets.
        weights: what the loss of each head counts, where the model's own counts 1.
    """

    model: Any
    weights: tuple[float, ...]


class Window:
    """Trains and evaluates a compiled, built `keras.Model` a window at a time.

    Args:
        model: compiled and built; its optimizer is built on its trainable variables.
        micro_batch_size: samples for each pass through the network; None passes the window at once.
        batch_norm: `micro` or `frozen`, see `kerasflow.Trainer`.
        auxiliary: heads that learn, too; the cost of a training has theirs, that of an evaluation has not.
    """

    def __init__(
        self, model: Any, micro_batch_size: int | None, batch_norm: str, auxiliary: Auxiliary | None = None
    ) -> None:
        import keras

        self.model, self.micro_batch_size = model, micro_batch_size
        self.learning, self.weights = auxiliary or Auxiliary(model, ())
        self.variables = list(model.trainable_variables)
        norms = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
        self.norms = [layer for layer in norms if layer.trainable]
        self.frozen = self.norms if batch_norm == "frozen" else []
        self.batch_norm = batch_norm if self.norms else "none"
        self.kind = (micro_batch_size, self.batch_norm, *self.weights)
        state = state_variables(model)
        self.seeds = [v for v in state if is_seed(v)]
        moving = (
            [] if self.frozen else [(n.moving_mean, n.moving_variance, n.momentum) for n in self.norms if not n.renorm]
        )
        self.moving = moving
        taken = {id(v) for v in self.seeds} | {id(v) for mean, variance, _ in moving for v in (mean, variance)}
        self.others = [v for v in state if id(v) not in taken]

    @property
    def n_parts(self) -> int:
        """How many parts the cost of an evaluation has, at most."""
        return 1 + n_losses(self.model) + len(weight_penalties(self.variables))

    def needs_size(self, n: int) -> bool:
        """Whether windows of `n` samples must be traced as that many: only then does it show that nothing is split, and
        only then does Keras weigh the losses of several outputs by samples.
        """
        return n_losses(self.model) > 1 or (self.micro_batch_size or 0) >= n

    def train(self, batch: Batch) -> tuple[Any, Any]:
        """Makes one update. Returns the window's cost and the L2 norm of its gradient before clipping, both scalars."""
        sums = self.accumulate(batch, self.micro_batch_size, [seed.value for seed in self.seeds])
        return self.update(sums, length(batch.x))

    def update(self, sums: Sums, n_window: Any) -> tuple[Any, Any]:
        """Steps every variable that a window moves, once; gives what `train` does."""
        import tensorflow as tf

        quotients = [_over(n, d) for n, d in zip(sums.numerators, self._totals(sums), strict=True)]
        gradients = self.combine(sums)
        cost = tf.add_n(quotients) if quotients else tf.constant(0.0)
        with tf.GradientTape() as tape:
            penalties = weight_penalties(self.variables)
            penalty = tf.add_n(penalties) if penalties else None
            scaled = self.model.optimizer.scale_loss(penalty) if penalty is not None else None
        if penalty is not None:
            cost += tf.cast(penalty, cost.dtype)
            gradients = [_plus(a, b) for a, b in zip(gradients, self._gradient(tape, scaled), strict=True)]
        norm = tf.linalg.global_norm([g for g in gradients if g is not None])
        scale = tf.cast(self.model.optimizer.scale_loss(tf.constant(1.0, norm.dtype)), norm.dtype)
        self._write_state(sums, n_window)
        with shared_work_once(self.model.optimizer):
            self.model.optimizer.apply(gradients, self.variables)
        return cost, norm / scale

    def evaluate(self, batch: Batch, window_size: int | None) -> Any:
        """The cost of a batch in inference, penalties included, as parts to be summed over a set; metrics are updated.

        Args:
            window_size: samples of the windows that losses which are sums are reported for; the batch's own if None.

        Returns:
            Numerators and divisors, `(2, n_parts)` float64; the set's cost is the sum of their sums' quotients. Parts
            that are not there are zero.
        """
        import keras
        import tensorflow as tf

        n = length(batch.x)
        with keras.StatelessScope(collect_losses=True) as scope:
            y_pred = self.model(batch.x, training=False)
        samples = tf.cast(n, tf.float64)
        scale = 1.0 if window_size is None else tf.cast(window_size, tf.float64) / samples
        parts = shares(self.model, batch.y, y_pred, batch.weight, scope.losses, n, n, scale)
        self.model.compute_metrics(batch.x, batch.y, y_pred, sample_weight=batch.weight)
        penalties = weight_penalties(self.variables)
        sums = [
            (part.numerator, 1.0, samples) if part.divisor is None else (part.numerator, part.divisor, 1.0)
            for part in parts
        ]
        sums += [(penalty, 1.0, samples) for penalty in penalties]
        numerators = [tf.cast(numerator, tf.float64) * weight for numerator, _, weight in sums]
        divisors = [tf.cast(divisor, tf.float64) * weight for _, divisor, weight in sums]
        return tf.pad(tf.stack([numerators, divisors]), [(0, 0), (0, self.n_parts - len(sums))])

    def accumulate(self, batch: Batch, size: Any, seeds: list[Any], n_window: Any = None) -> Sums:
        """Runs micro-batches one after the other and sums what they give; no variable but the metrics' is written.

        Args:
            batch: the window, or a part of it.
            size: samples of a micro-batch; None passes the batch at once.
            seeds: states of the random generators to begin with.
            n_window: samples of the whole window; the batch's own if None.
        """
        import tensorflow as tf

        n = length(batch.x)
        n_window = n if n_window is None else n_window
        if size is None or (isinstance(n, int) and n <= size):
            return self._micro(batch, n, n_window, seeds, None)
        first = _smaller(size, n)
        sums = self._micro(rows(batch, 0, first), first, n_window, seeds, None)
        if not isinstance(n, int):  # the batch's size is known only when it runs: slices of any size
            return self._loop(batch, sums, 1, (n + size - 1) // size, n, n_window, size)
        whole, tail = divmod(n, size)
        if tf.inside_function() and whole > 2:
            sums = self._loop(batch, sums, 1, whole, n, n_window, size)
        else:
            for index in range(1, whole):
                sums = self._micro(rows(batch, index * size, size), size, n_window, sums.seeds, sums)
        if tail:  # a shape of its own: padding would enter BatchNorm's statistics
            sums = self._micro(rows(batch, whole * size, tail), tail, n_window, sums.seeds, sums)
        return sums

    def _loop(self, batch: Batch, sums: Sums, start: int, stop: Any, n: Any, n_window: Any, size: int) -> Sums:
        """Micro-batches `start` to `stop` as one loop of the graph, so that only one of them is in memory."""
        import tensorflow as tf

        def body(index: Any, flat: list[Any]) -> tuple[Any, list[Any]]:
            carried = sums.filled(flat)
            n_micro = size if isinstance(n, int) else tf.minimum(size, n - index * size)
            micro = rows(batch, index * size, n_micro)
            return index + 1, self._micro(micro, n_micro, n_window, carried.seeds, carried).tensors()

        _, last = tf.while_loop(
            lambda index, _: index < stop, body, (tf.constant(start), sums.tensors()), parallel_iterations=1
        )
        return sums.filled(last)

    def _micro(self, batch: Batch, n: Any, n_window: Any, seeds: list[Any], before: Sums | None) -> Sums:
        """Forward and backward through one micro-batch, added to what the ones before it gave."""
        import keras
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            scope = keras.StatelessScope(zip(self.seeds, seeds, strict=True), collect_losses=True)
            with scope, inference_only(self.frozen):
                outputs = self.learning(batch.x, training=True)
            y_pred, *others = outputs if self.weights else [outputs]
            parts = shares(self.model, batch.y, y_pred, batch.weight, scope.losses, n, n_window)
            for weight, other in zip(self.weights, others, strict=True):
                own = shares(self.model, batch.y, other, batch.weight, [], n, n_window)
                parts = folded([*parts, *(replace(part, numerator=weight * part.numerator) for part in own)])
            scaled = [self.model.optimizer.scale_loss(part.numerator) for part in parts]
        self._check_weights_stand_still(scope)
        gradients = [self._gradient(tape, value) for value in scaled]
        self.model.compute_metrics(batch.x, batch.y, y_pred, sample_weight=batch.weight)

        def new(variable: Any) -> Any:
            value = scope.get_current_value(variable)
            return tf.convert_to_tensor(variable.value) if value is None else value

        mine = Sums(
            gradients,
            [part.numerator for part in parts],
            [part.divisor for part in parts],
            [new(v) for v in self.seeds],
            [self._weighted_moments(new(mean), new(variance), mean, n) for mean, variance, _ in self.moving],
            [scope.get_current_value(v) for v in self.others],
        )
        if before is None:
            return mine
        return Sums(
            [
                [_plus(a, b) for a, b in zip(g, h, strict=True)]
                for g, h in zip(before.gradients, mine.gradients, strict=True)
            ],
            [a + b for a, b in zip(before.numerators, mine.numerators, strict=True)],
            [_plus(a, b) for a, b in zip(before.divisors, mine.divisors, strict=True)],
            mine.seeds,
            [tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(before.moving, mine.moving, strict=True)],
            mine.others,
        )

    def _check_weights_stand_still(self, scope: Any) -> None:
        moved = [v.path for v in self.variables if scope.get_current_value(v) is not None]
        if moved:
            raise TrainingError(
                f"a forward pass writes weights that are trained ({', '.join(moved)}), as SpectralNormalization does; "
                "within a window they must stand still, so such a model trains with keras.Model.fit alone"
            )

    def _gradient(self, tape: Any, value: Any) -> list[Any]:
        """Gradients by variable; None where the value does not depend on it. A slice of an embedding becomes dense."""
        import tensorflow as tf

        found = tape.gradient(value, [v.value for v in self.variables]) if self.variables else []
        return [None if g is None else tf.convert_to_tensor(g) for g in found]

    def _totals(self, sums: Sums) -> list[Any]:
        import tensorflow as tf

        return [
            None if d is None else tf.where(d > 0, tf.cast(d, n.dtype), 1)
            for n, d in zip(sums.numerators, sums.divisors, strict=True)
        ]

    def combine(self, sums: Sums) -> list[Any]:
        """The gradient of the window's cost: each share's gradient over its divisor."""
        combined: list[Any] = [None] * len(self.variables)
        for gradients, total in zip(sums.gradients, self._totals(sums), strict=True):
            divided = [None if g is None else _over(g, total) for g in gradients]
            combined = [_plus(a, b) for a, b in zip(combined, divided, strict=True)]
        return combined

    def _weighted_moments(self, mean: Any, variance: Any, start: Any, n: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        weight = tf.cast(n, mean.dtype)
        return weight * mean, weight * variance, weight * tf.square(mean - start.value)

    def _write_state(self, sums: Sums, n_window: Any) -> None:
        """Steps what a forward pass moves, once for the window.

        BatchNorm's moving statistics take the window's mean and variance. With m' = r m + (1 - r) mean_k after
        micro-batch k, their weighted average is the step by the window's mean; the variance between micro-batches
        comes on top: v' = avg(v_k') + avg((m_k' - avg(m_k'))^2) / (1 - r).
        """
        import tensorflow as tf

        for (mean, variance, momentum), (means, variances, squares) in zip(self.moving, sums.moving, strict=True):
            n = tf.cast(n_window, means.dtype)
            new_mean = means / n
            between = tf.maximum(squares / n - tf.square(new_mean - mean.value), 0)
            variance.assign(variances / n + between / max(1 - momentum, 1e-12))
            mean.assign(new_mean)
        for variable, value in [*zip(self.seeds, sums.seeds, strict=True), *zip(self.others, sums.others, strict=True)]:
            if value is not None:
                variable.assign(value)


def length(x: Any) -> Any:
    """Samples in a batch: an int where the shape is known, else a scalar tensor."""
    import keras
    import tensorflow as tf

    first = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None)
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]


def _smaller(size: int, n: Any) -> Any:
    import tensorflow as tf

    return min(size, n) if isinstance(n, int) else tf.minimum(size, n)


def rows(batch: Batch, start: Any, size: Any) -> Batch:
    """`size` samples of a batch from `start` on."""
    import keras

    part = keras.tree.map_structure(lambda leaf: None if leaf is None else _cut(leaf, start, size), tuple(batch))
    return Batch(*part)


def _cut(leaf: Any, start: Any, size: Any) -> Any:
    import tensorflow as tf

    begin = [start] + [0] * (leaf.shape.rank - 1)
    found = tf.slice(leaf, begin, [size] + [-1] * (leaf.shape.rank - 1))
    return tf.ensure_shape(found, (size if isinstance(size, int) else None, *leaf.shape[1:]))


def _plus(a: Any, b: Any) -> Any:
    """The sum of two tensors, either of which may be absent."""
    return b if a is None else a if b is None else a + b


def _over(value: Any, divisor: Any) -> Any:
    import tensorflow as tf

    return value if divisor is None else value / tf.cast(divisor, value.dtype)
