"""The attack on the membership of labels."""

import numpy as np
import pytest

from utils.attacks.membership import attack_features, matched, membership_attack, true_positive_rate


def test_features_of_one_sample_are_those_worked_out_by_hand():
    logit = np.log(3)  # p = 3/4
    loss, confidence, entropy, modified = attack_features([logit], [0])[0]
    assert loss == pytest.approx(np.log(4))
    assert confidence == pytest.approx(0.75)
    assert entropy == pytest.approx(np.log(4) - 0.75 * np.log(3))
    assert modified == pytest.approx(2 * 0.75 * np.log(4))


def test_features_stay_finite_for_a_net_that_is_surely_wrong():
    assert np.isfinite(attack_features([1e4, -1e4], [0, 1])).all()


def test_attack_on_a_net_that_never_saw_the_labels_is_chance():
    aucs = []
    for seed in range(5):
        generator = np.random.default_rng(seed)
        logits, labels = generator.normal(size=3000), generator.integers(0, 2, 3000)
        aucs.append(membership_attack(logits[:2000], labels[:2000], logits[2000:], labels[2000:], seed, 10)["value"])
    assert all(abs(value - 0.5) < 0.05 for value in aucs)


def test_attack_on_a_constant_head_is_exactly_chance():
    labels = np.random.default_rng(0).integers(0, 2, 400)
    figure = membership_attack(np.full(200, -1.0), labels[:200], np.full(200, -1.0), labels[200:])
    assert figure["value"] == pytest.approx(0.5, abs=0.01)


def test_attack_finds_labels_learnt_by_heart():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 1000)
    logits = generator.normal(size=1000)
    logits[:500] = 6 * (2 * labels[:500] - 1)  # sure and right about every training label
    assert membership_attack(logits[:500], labels[:500], logits[500:], labels[500:])["value"] > 0.95


def test_a_difference_of_base_rates_is_no_membership():
    generator = np.random.default_rng(0)
    train, test = (generator.random(2000) < 0.5).astype(int), (generator.random(2000) < 0.1).astype(int)

    def logits(labels):  # a fair reader of the images, equally good on both parts
        return 2 * (2 * labels - 1) + generator.normal(size=len(labels))

    figure = membership_attack(logits(train), train, logits(test), test)
    assert abs(figure["value"] - 0.5) < 0.05


def test_matched_samples_hold_each_class_equally_often():
    members, others = matched(np.array([1] * 30 + [0] * 70), np.array([1] * 10 + [0] * 90))
    assert (members < 30).sum() == (others < 10).sum() == 10
    assert len(members) == len(others) == 80
    assert len(set(members)) == 80


def test_attack_is_equal_for_a_seed():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=400), generator.integers(0, 2, 400)
    once, again = (membership_attack(logits[:200], labels[:200], logits[200:], labels[200:], 7) for _ in range(2))
    assert once == again


def test_too_few_samples_give_no_figure():
    assert membership_attack([1.0], [1], [1.0], [1])["value"] is None


def test_rates_at_few_false_positives_are_those_counted_by_hand():
    scores = np.concatenate([np.arange(200.0), [100.5, 198.5, 197.5, 250.0]])  # of 200 others 2 may be above
    is_member = np.repeat([0, 1], [200, 4])
    assert true_positive_rate(scores, is_member, 0.01) == 0.75  # 197.5, 198.5 and 250 are above 197
    assert true_positive_rate(scores, is_member, 0.005) == 0.5
    assert true_positive_rate(scores, is_member, 0.001) is None  # one other is more than a thousandth of 200


def test_a_constant_score_recognises_nobody():
    assert true_positive_rate(np.zeros(400), np.repeat([0, 1], 200), 0.01) == 0


def test_a_few_labels_learnt_by_heart_show_at_few_false_positives_though_the_auc_is_near_chance():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 2, 4000), generator.normal(size=4000)
    logits[:100] = 12 * (2 * labels[:100] - 1)  # 5 % of the 2,000 training images
    figure = membership_attack(logits[:2000], labels[:2000], logits[2000:], labels[2000:], resamples=50)
    assert figure["value"] < 0.58
    assert 0.04 < figure["tpr_at_0.1_percent"] <= figure["tpr_at_1_percent"] < 0.1
