"""What holds for every attack that runs or changes a network."""

import numpy as np
import pytest
from plain_faces import PlainFaces, plain_net
from small_subjects import assert_unchanged, state_of, subject_of

from utils.attacks.kept_labels import KEPT_LABELS
from utils.attacks.quantisation import QUANTISATION
from utils.attacks.relearning import RELEARNING_HEAD, RELEARNING_NETWORK
from utils.attacks.steering import STEERING
from utils.attacks.stitching import STITCHING
from utils.evaluation.metrics import auc

ATTACKS = [STITCHING, STEERING, RELEARNING_HEAD, RELEARNING_NETWORK, KEPT_LABELS, QUANTISATION]
BLIND = ("Smiling", "Young")


def small_faces():
    return PlainFaces(n=1000, train=100)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("level", ["quick", "full"])
def test_an_attack_leaves_the_networks_alone_and_gives_equal_scores_for_a_seed(attack, level):
    model, original = plain_net(sees=BLIND).train(), plain_net()
    model.stem.bias.requires_grad_(False)
    subject = subject_of(model, small_faces(), original=original, level=level)
    before = state_of(model), state_of(original)
    once, again = attack.run(subject), attack.run(subject)
    assert_unchanged(model, before[0])
    assert_unchanged(original, before[1])
    assert once.keys() == again.keys()
    for place, scores in once.items():
        assert np.array_equal(scores, again[place]), place
        assert scores is None or scores.shape[-1] == len(subject.setup.test)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_without_positives_among_the_training_images_an_attack_finds_nothing_to_fit(attack):
    data = small_faces()
    data.labels[data.rows("train"), 0] = 0
    scores = attack.run(subject_of(plain_net(), data, original=plain_net(), level="full"))
    assert all(found is None for found in scores.values())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_on_a_network_that_never_saw_the_target_is_at_chance(attack):
    blind = plain_net(BLIND, sees=BLIND)
    with np.errstate(all="ignore"):
        blind.stem.weight.data[0] = 0  # neither does its lower layer
    original = plain_net()
    subject = subject_of(blind, PlainFaces(n=2000, train=200), original=original, level="full")
    for place, scores in attack.run(subject).items():
        values = [auc(row, subject.setup.y_test) for row in np.atleast_2d(scores)]
        assert abs(np.mean(values) - 0.5) < 0.06, (place, values)
