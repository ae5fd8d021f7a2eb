"""Named networks: what each is, how it is made, what its weights are.

Owns a card for every constructor of `keras.applications` and for the networks that it describes itself as specs
(AlexNet, GoogLeNet, EfficientNet-Lite0, LeNet-5), the preprocessing that belongs to each, and the reading of foreign
weights. Takes a name, a shape, weights; gives a plain `keras.Model`, or arrays ready for it. Must not know data sets,
training, or what a network is used for.
"""

from __future__ import annotations

from kerasflow.zoo.catalogue import Card as Card
from kerasflow.zoo.catalogue import Paper as Paper
from kerasflow.zoo.catalogue import card as card
from kerasflow.zoo.catalogue import cards as cards
from kerasflow.zoo.loading import load as load
from kerasflow.zoo.preprocessing import check_range as check_range
from kerasflow.zoo.preprocessing import normalize as normalize
from kerasflow.zoo.preprocessing import preprocess as preprocess
