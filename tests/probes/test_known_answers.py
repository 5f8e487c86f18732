"""Each attack finds what it is there for, where the attacks before it find nothing, and the verdict names it."""

from dataclasses import replace

import numpy as np
import pytest
from known_subjects import (
    exclusive_or,
    find,
    make_subject,
    many_clusters,
    nothing,
    parity_of_three,
    position,
    shift,
    variance,
    verdict_on,
)

from utils.probes.linear import LINEAR
from utils.probes.mlp import MLP
from utils.probes.neighbours import NEIGHBOURS
from utils.probes.prototype import PROTOTYPE
from utils.probes.quadratic import QUADRATIC
from utils.probes.unpooled import UNPOOLED

ATTACKS = (LINEAR, UNPOOLED, QUADRATIC, MLP, NEIGHBOURS, PROTOTYPE)
NAMES = [attack.name for attack in ATTACKS]


@pytest.fixture(scope="module")
def oracle():
    """What the attacks find in features that tell nothing."""
    return find(make_subject(nothing), ATTACKS)


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_at_chance_where_nothing_is_to_be_found(name, oracle):
    assert abs(oracle[name]["top"].value - 0.5) < 0.06


#: features: (the attack that the verdict names, attacks that find the attribute too, those that must not)
KNOWN = {
    shift: ("linear", ["unpooled", "quadratic", "mlp", "prototype"], []),
    position: ("unpooled", [], ["linear", "quadratic", "neighbours", "prototype"]),
    variance: ("quadratic", [], ["linear", "unpooled", "prototype"]),
    exclusive_or: ("quadratic", ["mlp"], ["linear", "unpooled", "prototype"]),
    parity_of_three: ("mlp", ["neighbours"], ["linear", "quadratic", "prototype"]),
}


@pytest.mark.parametrize("draw", KNOWN, ids=lambda draw: draw.__name__)
def test_what_only_some_attacks_can_find_is_found_by_these_and_by_the_verdict(draw, oracle):
    first, others, blind = KNOWN[draw]
    subject = make_subject(draw)
    found = find(subject, ATTACKS)
    verdict = verdict_on(subject, found, oracle)
    for name in [first, *others]:
        assert found[name]["top"].value > 0.7, name
        assert name in [one["attack"] for one in verdict.numbers["found"]]
    for name in blind:
        assert abs(found[name]["top"].value - 0.5) < 0.08, name
    assert verdict.word == "SILENCED" and verdict.qualifier.startswith(f"{first} at top, +")
    assert verdict_on(subject, oracle, oracle).word == "ERASED"


def test_neighbours_find_most_where_clusters_lie_in_no_order():
    found = find(make_subject(many_clusters), ATTACKS)
    values = {name: places["top"].value for name, places in found.items()}
    assert max(values, key=values.get) == "neighbours" and values["neighbours"] > 0.98


def test_a_rotation_of_the_channels_hides_nothing_from_a_linear_attack():
    subject = make_subject(shift)
    before = find(subject, [LINEAR])["linear"]["top"].value
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))[0].astype(np.float32)
    for part in (subject.train, subject.test):
        part.stages["top"] = part.stages["features"] = part.stages["top"] @ turn
    assert find(subject, [LINEAR])["linear"]["top"].value == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_an_attack_is_equal_for_a_seed_and_gives_nothing_without_a_class(attack):
    subject = make_subject(shift)
    first, second = (attack.run(subject)["top"] for _ in range(2))
    assert np.array_equal(first, second) and np.isfinite(first).all()
    subject.setup.y_train = np.zeros_like(subject.setup.y_train)
    assert attack.run(subject) == {"top": None}


def constant(subject):
    for part in (subject.train, subject.test):
        part.stages["top"][:], part.maps["top"][:] = 1, 1


def copied(subject):
    """Every channel holds what the first one does."""
    for part in (subject.train, subject.test):
        part.stages["top"][:], part.maps["top"][:] = part.stages["top"][:, :1], part.maps["top"][:, :1]


def few_images(subject):
    """Four images with the attribute, five without."""
    labels = subject.setup.y_train
    kept = np.r_[np.flatnonzero(labels)[:4], np.flatnonzero(labels == 0)[:5]]
    subject.train = replace(
        subject.train,
        stages={stage: values[kept] for stage, values in subject.train.stages.items()},
        maps={stage: values[kept] for stage, values in subject.train.maps.items()},
    )
    subject.setup.y_train = labels[kept]


@pytest.mark.parametrize("change", [constant, copied, few_images])
@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_poor_features_and_few_images_do_no_harm(attack, change):
    subject = make_subject(nothing)
    change(subject)
    placed = find(subject, [attack])[attack.name]["top"]  # refuses what is not finite
    assert placed is None or abs(placed.value - 0.5) < 0.1
