"""The registry of attacks, and an attack of one's own in a whole audit."""

import re

import pytest
from conftest import ROOT
from plain_faces import NAMES, PlainFaces, plain_net

from utils.attacks.registry import ATTACKS, attacks_at, register
from utils.audit.audit import audit
from utils.common.errors import InputError
from utils.probes.attack import Attack


@pytest.fixture(autouse=True)
def put_back():
    before = dict(ATTACKS)
    yield
    ATTACKS.clear()
    ATTACKS.update(before)


def largest_channel(subject):
    return {stage: values.max(1) for stage, values in subject.test.stages.items()}


def example_of_the_page():
    page = (ROOT / "docs" / "AUDIT.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return example


def run_audit():
    networks = {"original": plain_net(), "oracle": plain_net(NAMES[1:], sees=NAMES[1:])}
    networks["unlearned"] = plain_net(sees=NAMES[1:])
    return audit(networks, PlainFaces(400, 200), "Bald", stages=("top",), resamples=20, progress=False)


def test_the_example_of_the_page_is_run_on_every_network_and_compared():
    exec(example_of_the_page(), {})
    record = run_audit()["nets"]["original"]
    assert list(record["attacks"])[-1] == "largest_channel"
    assert record["attacks"]["largest_channel"]["top"]["value"] > 0.6
    assert record["gaps"]["attacks"]["largest_channel"]["top"]["value"] > 0.05


def test_a_name_is_given_once():
    with pytest.raises(InputError, match="there is an attack 'linear' already"):
        register(Attack("linear", largest_channel))


def test_the_quick_level_leaves_out_what_is_for_the_full_one():
    register(Attack("slow", largest_channel, level="full"))
    assert "slow" in [attack.name for attack in attacks_at("full")]
    assert "slow" not in [attack.name for attack in attacks_at("quick")]
    assert [attack.name for attack in attacks_at("full")] == list(ATTACKS)


@pytest.mark.parametrize("scores", [[1.0, 2.0], [[float("nan")] * 200]], ids=["too few", "not finite"])
def test_scores_that_cannot_be_are_refused_with_attack_and_place(scores):
    register(Attack("broken", lambda subject: {"top": scores}))
    with pytest.raises(ValueError, match="attack 'broken' on original, top: scores"):
        run_audit()
