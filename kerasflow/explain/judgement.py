"""`kf.explain.diagnosis`: what hindered a training, judged from its numbers alone; no finding without evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerasflow.explain.guessing import Guess, entropy
from kerasflow.explain.initial import MANY, LayerStatistics

RISES = 0.5
"""Of all that the cost falls from epoch to epoch, that it rises again: mini-batches alone make some."""
ROUGH = 0.05
"""Of the first cost, that those rises are, too: the ripples of a curve that has arrived are no fluctuation."""
STEADY = 0.5
"""Of the fall of the first third, that the last third still falls: learning that is under way slows down."""
LITTLE = 0.3
"""Of the first cost, below which such a steady fall is a crawl."""
STUCK = 1e-3
"""Of the first cost, below which a curve has not moved in all of its epochs."""
ARRIVED = 1.02
"""Times the cost of guessing, above which a curve that does not move cannot be one that has arrived there."""
STILL = 0.01
"""Of all that the cost has fallen, below which a third of a training has changed nothing."""
WORSE = 0.1
"""Above its best, that the validation cost ends while the training cost falls: overfitting (Prechelt 1998)."""
GUESS = 0.8
"""Of the cost of who knows the targets' distribution alone, above which a model has hardly learned."""
SURE = 0.9
"""Probability of another class than the label from which on a model disagrees confidently (Northcutt et al. 2021)."""
DISAGREES = 0.04
"""Share of such disagreements among samples that were held out: more than the mistakes of a model that fits well."""
KNOWS = 0.8
"""Accuracy from which on a model is a witness against labels, if it also costs less than guessing."""
WILD = 2.0
"""Times the cost of a network that gives 0, above which the first epoch is that of weights that were thrown about."""
RARE, MISSED = 3.0, 0.2
"""How many times the largest class is the smallest, and by how much its recall is below the mean, to be imbalance."""
FEW, MANY_EPOCHS = 6, 30
"""Epochs from which on a curve's thirds say something of its fall; and of its end."""
SHOWN = 5


@dataclass(frozen=True)
class Answers:
    """What a trained model says of a part whose classes are known.

    Attributes:
        part: `train`, `validation` or `test`.
        labels: class indices `(n,)`.
        probabilities: `(n, n_classes)`.
    """

    part: str
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What a training has left.

    Attributes:
        rows: of the history, an epoch each.
        classes: names of the classes; empty of other tasks.
        counts: rows of the training part by class index; empty of other tasks.
        guess: what a model costs that has learned nothing of its inputs; None where it is not known.
        answers: of the parts that are there.
        layers: statistics of the trained model's layers.
        rate: the setting of the learning rate by its dotted path, and its value.
        ran_out: whether the training ended because its epochs were used up.
    """

    rows: Sequence[Mapping[str, Any]]
    classes: Sequence[str] = ()
    counts: Sequence[int] = ()
    guess: Guess | None = None
    answers: Sequence[Answers] = ()
    layers: Sequence[LayerStatistics] = ()
    rate: tuple[str, float] | None = None
    ran_out: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that hindered the training.

    Attributes:
        name: `learning rate too high`, `learning rate too low`, `overfitting`, `underfitting`, `plateau`, `dead units`,
            `saturation`, `label noise` or `class imbalance`.
        words: what is seen, with its numbers.
        evidence: the numbers by name.
        advice: what to try.
    """

    name: str
    words: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    advice: str = ""


def diagnosis(evidence: Evidence) -> tuple[Finding, ...]:
    """What hindered a training; nothing of one that is healthy.

    Args:
        evidence: its numbers. What is not there is not judged.

    Source:
        Goodfellow, Bengio & Courville 2016, Deep Learning, sections 5.2 and 11.4; each threshold stands in this file.
    """
    found = list(_rate(evidence))
    thrown = any(finding.name == "learning rate too high" for finding in found)  # then the rest follows from it
    for judge in (_units,) if thrown else (_fit, _plateau, _units, _labels, _classes):
        found += judge(evidence)
    return tuple(found)


def _costs(evidence: Evidence, name: str = "loss") -> np.ndarray:
    return np.array([float(row[name]) for row in evidence.rows if name in row])


def _other_rate(evidence: Evidence, factor: float) -> str:
    if evidence.rate is None:
        return f"a learning rate {max(factor, 1 / factor):g} times {'higher' if factor > 1 else 'lower'}"
    path, rate = evidence.rate
    return f"--set {path}={rate * factor:g}"


def _rate(evidence: Evidence) -> Iterator[Finding]:
    costs = _costs(evidence)
    if len(costs) and not np.isfinite(costs).all():
        first = int(np.argmin(np.isfinite(costs))) + 1
        words = f"the cost is no longer finite in epoch {first}"
        yield Finding("learning rate too high", words, {"epoch": first}, _other_rate(evidence, 0.1))
        return
    if len(costs) < FEW:
        return
    changes = np.diff(costs)
    falls, rises = float(-changes[changes < 0].sum()), float(changes[changes > 0].sum())
    if rises > RISES * falls and rises > ROUGH * abs(costs[0]):
        words = f"the cost falls by {falls:.4g} in all and rises again by {rises:.4g}, from epoch to epoch"
        yield Finding("learning rate too high", words, {"falls": falls, "rises": rises}, _other_rate(evidence, 0.1))
        return
    guess = evidence.guess
    if guess and costs[0] > WILD * max(guess.silent, guess.cost):
        words = f"the first epoch costs {costs[0]:.4g}, and a network that gives 0 whatever comes {guess.silent:.4g}"
        numbers = {"first": float(costs[0]), "silent": guess.silent}
        yield Finding("learning rate too high", words, numbers, f"{_other_rate(evidence, 0.1)}, or data.scale=standard")
        return
    if guess and float(np.ptp(costs)) < STUCK * costs[0] and costs[-1] > ARRIVED * guess.cost and not _dead(evidence):
        words = (
            f"in {len(costs)} epochs the cost has moved by {float(np.ptp(costs)):.2g} only and is {costs[-1]:.4g}; who "
            f"knows {guess.knows}, and nothing else, has {guess.cost:.4g}"
        )
        numbers = {"first": float(costs[0]), "last": float(costs[-1]), "guess": guess.cost}
        yield Finding("learning rate too low", words, numbers, _other_rate(evidence, 100))
        return
    third = len(costs) // 3
    early, late = float(costs[0] - costs[third]), float(costs[-1 - third] - costs[-1])
    progress = float(costs[0] - costs[-1])
    moved = STUCK * abs(costs[0]) if guess else 0.0  # what has moved by less is judged above, if that can be
    slow = moved < progress < LITTLE * abs(costs[0])
    if slow and late > STEADY * early > 0 and evidence.ran_out:
        words = (
            f"the cost has fallen from {costs[0]:.4g} to {costs[-1]:.4g} only, and in its last third as steadily "
            f"({late:.2g}) as in its first ({early:.2g})"
        )
        numbers = {"first": float(costs[0]), "last": float(costs[-1]), "early": early, "late": late}
        yield Finding("learning rate too low", words, numbers, f"{_other_rate(evidence, 10)}, or more epochs")


def _fit(evidence: Evidence) -> Iterator[Finding]:
    costs, held_out = _costs(evidence), _costs(evidence, "val_loss")
    if not len(costs) or not np.isfinite(costs).all():
        return
    if len(held_out) == len(costs) and np.isfinite(held_out).all() and len(costs) > 2:
        best = int(held_out.argmin())
        lost, fell = float(held_out[-1] / held_out[best] - 1), float(costs[best] - costs[-1])
        if held_out[best] > 0 and lost > WORSE and fell > 0:
            words = (
                f"after epoch {best + 1} the validation cost rises from {held_out[best]:.4g} to {held_out[-1]:.4g} "
                f"({lost:+.0%}), while the training cost falls from {costs[best]:.4g} to {costs[-1]:.4g}"
            )
            numbers = {"best_epoch": best + 1, "best": float(held_out[best]), "last": float(held_out[-1])}
            advice = "--set 'train.stop=[{plateau: {monitor: val_loss, restore_best: true}}]', dropout, or more data"
            yield Finding("overfitting", words, numbers, advice)
    guess = evidence.guess
    if guess and costs[-1] > GUESS * guess.cost and len(costs) >= FEW:
        known = f"who knows {guess.knows}, and nothing else, has {guess.cost:.4g}"
        words = f"the training cost ends at {costs[-1]:.4g}; {known}"
        advice = "more or wider layers, scaled inputs, another learning rate, or more epochs"
        yield Finding("underfitting", words, {"last": float(costs[-1]), "guess": guess.cost}, advice)


def _plateau(evidence: Evidence) -> Iterator[Finding]:
    name = "val_loss" if len(_costs(evidence, "val_loss")) == len(evidence.rows) else "loss"
    costs = _costs(evidence, name)
    if len(costs) < MANY_EPOCHS or not evidence.ran_out or not np.isfinite(costs).all():
        return
    third = len(costs) // 3
    gained = float(costs[0] - costs.min())
    late = float(costs[: len(costs) - third].min() - costs[-third:].min())
    if gained > 0 and late < STILL * gained:
        words = (
            f"in its last {third} of {len(costs)} epochs {name} has not fallen below {costs[:-third].min():.4g} by "
            f"more than {max(late, 0):.2g}"
        )
        advice = f"--set 'train.stop=[{{plateau: {{monitor: {name}, restore_best: true}}}}]', or a schedule of the rate"
        yield Finding("plateau", words, {"epochs": third, "gained": gained, "late": late}, advice)


def _dead(evidence: Evidence) -> bool:
    """Whether a layer lets nothing through, so that no rate would help."""
    return any(layer.dead > MANY for layer in evidence.layers)


def _units(evidence: Evidence) -> Iterator[Finding]:
    for layer in evidence.layers:
        if layer.dead > MANY:
            words = f"{layer.dead:.0%} of the units of {layer.name} give 0 for every sample"
            advice = f"{_other_rate(evidence, 0.1)}, he_normal, or leaky_relu"
            yield Finding("dead units", words, {"share": layer.dead}, advice)
        if layer.saturated > MANY and layer is not evidence.layers[-1]:  # an output that is sure, and right, is flat
            words = f"{layer.saturated:.0%} of the values of {layer.name} are where {layer.activation} is flat"
            yield Finding("saturation", words, {"share": layer.saturated}, "--set data.scale=standard, or relu")


def _labels(evidence: Evidence) -> Iterator[Finding]:
    held_out = [answers for answers in evidence.answers if answers.part != "train"] or list(evidence.answers)
    if not held_out:
        return
    places = [(answers.part, i) for answers in held_out for i in range(len(answers.labels))]
    labels = np.concatenate([answers.labels for answers in held_out])
    probabilities = np.concatenate([answers.probabilities for answers in held_out])
    said, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    of_label = np.clip(probabilities[np.arange(len(labels)), labels], 1e-300, None)
    accuracy = float((said == labels).mean())
    if accuracy < KNOWS or -np.log(of_label).mean() > entropy(labels):
        return
    sure = (said != labels) & (surest >= SURE) & ~np.isin(labels, _rare(evidence))
    count = int(sure.sum())
    if count < max(3, DISAGREES * len(labels)):
        return
    order = [int(i) for i in np.argsort(-surest, kind="stable") if sure[i]]
    told = ", ".join(
        f"{places[i][0]} {places[i][1]} (labelled {_class(evidence, labels[i])}, said {_class(evidence, said[i])} at "
        f"{surest[i]:.2f})"
        for i in order[:SHOWN]
    )
    words = (
        f"of {len(labels):,} samples that were not learned from, {count} are confidently given another class than "
        f"their label, by a model that is right on {accuracy:.0%}: {told}{', …' if count > SHOWN else ''}"
    )
    numbers = {"samples": len(labels), "disagreements": count, "accuracy": accuracy}
    yield Finding("label noise", words, numbers, "look at these samples, and mend or leave out what is wrong")


def _rare(evidence: Evidence) -> list[int]:
    """Classes of which there are so few that a model may be sure, and wrong, for want of them."""
    counts = np.asarray(evidence.counts, dtype=float)
    return [] if not len(counts) else np.flatnonzero(counts * RARE <= counts.max()).tolist()


def _classes(evidence: Evidence) -> Iterator[Finding]:
    counts = np.asarray(evidence.counts, dtype=float)
    if not _rare(evidence):
        return
    rare = int(counts.argmin())
    held_out = next((a for a in evidence.answers if a.part != "train" and (a.labels == rare).any()), None)
    if held_out is None:
        return
    said = held_out.probabilities.argmax(axis=1)
    recalls = [float((said[held_out.labels == k] == k).mean()) for k in np.unique(held_out.labels)]
    recall = float((said[held_out.labels == rare] == rare).mean())
    if recall > float(np.mean(recalls)) - MISSED / 2 and recall > 1 - MISSED:
        return
    words = (
        f"{_class(evidence, rare)} has {int(counts[rare]):,} rows of the training part and "
        f"{_class(evidence, int(counts.argmax()))} {int(counts.max()):,}; of the {held_out.part} part its recall is "
        f"{recall:.0%}, the mean of the classes' {np.mean(recalls):.0%}"
    )
    numbers = {"smallest": float(counts.min()), "largest": float(counts.max()), "recall": recall}
    yield Finding("class imbalance", words, numbers, "more rows of it, class weights, or a metric of each class")


def _class(evidence: Evidence, index: Any) -> str:
    return evidence.classes[int(index)] if len(evidence.classes) else str(int(index))


def not_judged(evidence: Evidence) -> Mapping[str, str]:
    """What cannot be judged, by its name, and why."""
    found = {}
    if not any("val_loss" in row for row in evidence.rows):
        found["overfitting"] = "there is no validation part"
    if len(evidence.rows) < FEW and np.isfinite(_costs(evidence)).all():  # else the rate is judged, and it alone
        found["the learning rate and a plateau"] = f"there are {len(evidence.rows)} epochs, and at least {FEW} tell"
    if evidence.guess is None:
        found["underfitting"] = "without the data, or by this loss, it is not known what guessing costs"
    if not evidence.layers:
        found["dead units and saturation"] = "there is no model with data to look into"
    if not evidence.answers:
        found["label noise and class imbalance"] = "there are no answers to classes to look at"
    return found
