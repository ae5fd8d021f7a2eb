"""`kerasflow zoo` in a terminal of 80 columns."""

from __future__ import annotations

import kerasflow as kf


def test_the_list_has_every_network_in_80_columns(kerasflow) -> None:
    done = kerasflow("zoo")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    for card in kf.zoo.cards():
        (line,) = (line for line in lines if line.split()[:1] == [card.name])
        assert f"{card.parameters:,}" in line
        assert line.rstrip().endswith(card.paper.cited)


def test_show_prints_the_card_and_the_layers(kerasflow) -> None:
    done = kerasflow("zoo", "show", "LeNet-5")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "LeCun et al. 1998" in done.out
    assert "61,706" in done.out
    (line,) = (line for line in done.out.splitlines() if line.split()[:1] == ["c3"])
    assert line.split() == ["c3", "conv2d", "10", "×", "10", "×", "16", "2,416"]


def test_a_mistyped_name_is_one_sentence(kerasflow) -> None:
    done = kerasflow("zoo", "show", "mobilnet_v2")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: there is no network 'mobilnet_v2', did you mean 'mobilenet_v2'?\n"
