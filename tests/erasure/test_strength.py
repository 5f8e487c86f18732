"""Which rows a strength is chosen on, the sweep, and the choice on points written down by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from plain_faces import PlainFaces

from utils.common.errors import InputError
from utils.erasure.strength import STRENGTHS, choose_strength, sweep_strengths, validation_rows


def point(strength, kept_loss=0.0, word="SILENCED", qualifier=""):
    verdict = {"word": word, "qualifier": qualifier}
    return {"strength": strength, "kept_loss": kept_loss, "targets": {"Bald": {"verdict": verdict}}}


def test_validation_rows_are_a_fifth_of_the_training_rows_of_each_class_and_no_test_row():
    data = PlainFaces(2500, 1500)
    learning, held_out = validation_rows(data, ["Bald"])
    train = data.rows("train")
    assert np.array_equal(np.sort(np.concatenate([learning, held_out])), train)
    labels, fifth = data.labels[:, 0], 0.2 * data.labels[train, 0].sum()
    assert len(held_out) == round(0.2 * len(train)) and abs(labels[held_out].sum() - fifth) <= 0.5
    assert all(map(np.array_equal, validation_rows(data, ["Bald"]), (learning, held_out)))
    assert not np.array_equal(validation_rows(data, ["Bald"], seed=1)[1], held_out)


def test_each_combination_of_several_targets_is_held_out_alike():
    data = PlainFaces(2500, 1500)
    _, held_out = validation_rows(data, ["Bald", "Young"])
    train = data.rows("train")
    for combination in ([0, 0], [0, 1], [1, 0], [1, 1]):
        counts = [(data.labels[rows][:, [0, 2]] == combination).all(1).sum() for rows in (train, held_out)]
        assert counts[1] == round(0.2 * counts[0])


def test_a_validation_part_is_taken_where_the_split_has_one():
    other = PlainFaces(2500, 1500)
    other.splits = {"train": np.arange(1000), "valid": np.arange(1000, 1500), "test": np.arange(1500, 2500)}
    learning, held_out = validation_rows(other, ["Bald", "Young"])
    assert np.array_equal(learning, np.arange(1000)) and np.array_equal(held_out, np.arange(1000, 1500))


def test_too_few_images_of_the_target_are_reported():
    few = PlainFaces(700, 600)
    few.labels[:, 0] = 0
    few.labels[:2, 0] = 1
    with pytest.raises(InputError, match="too few training images with and without Bald"):
        validation_rows(few, ["Bald"])


def test_a_sweep_measures_each_strength_once_mildest_first():
    points = sweep_strengths(
        lambda strength: 10 * strength, lambda model: {"figure": model}, [3, 0.5, 3], progress=False
    )
    assert [(one["strength"], one["figure"]) for one in points] == [(0.5, 5.0), (3.0, 30)]
    assert all(one["seconds"] >= 0 for one in points)
    points = sweep_strengths(lambda strength: None, lambda model: {}, progress=False)
    assert tuple(one["strength"] for one in points) == STRENGTHS


def test_the_mildest_that_erases_is_chosen():
    points = [point(0.5), point(1.0, 1.0, word="ERASED"), point(2.0, word="ERASED")]
    assert choose_strength(points) == (points[1], True)


def test_without_an_oracle_as_much_is_forgotten_as_the_kept_heads_can_afford():
    word = "ERASED AS FAR AS AN UNTRAINED NETWORK TELLS"
    points = [point(s, loss, word) for s, loss in ((0.5, -0.01), (1.0, 0.002), (2.0, 0.003), (4.0, 0.0))]
    assert choose_strength(points) == (points[1], False)  # what comes after a loss has begun is chance
    assert choose_strength(points[:2]) == (points[1], False)


def test_where_none_erases_and_the_mildest_costs_too_much_it_is_the_mildest():
    points = [point(0.5, None), point(1.0, 0.02), point(2.0, 0.01)]
    assert choose_strength(points) == (points[1], False)
    with pytest.raises(InputError, match="no head is kept that says what one costs, so give --strength a number"):
        choose_strength([point(1.0, None)])


def test_a_strength_must_erase_every_target():
    half = point(1.0, word="ERASED")
    half["targets"]["Young"] = {"verdict": {"word": "SILENCED", "qualifier": ""}}
    assert choose_strength([half]) == (half, False)


def test_images_are_held_out_though_each_combination_of_many_targets_comes_once():
    labels = (np.arange(200)[:, None] // 2 ** np.arange(8) % 2).astype(np.uint8)
    names = tuple("abcdefgh")
    rows = {"train": np.arange(200), "valid": np.arange(0)}
    learning, held_out = validation_rows(SimpleNamespace(labels=labels, attributes=names, rows=rows.get), names)
    assert len(held_out) == 40 and len(learning) == 160 and not set(learning) & set(held_out)
