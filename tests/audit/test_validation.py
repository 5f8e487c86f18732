"""One network's figures on validation rows against those of an audit on the same rows."""

from types import SimpleNamespace

import pytest
import torch
from plain_faces import NAMES, PlainFaces, PlainNet, plain_net

from utils.audit.audit import audit
from utils.audit.validation import make_validation_reference, measure
from utils.audit.verdict import UNTRAINED_ERASED
from utils.erasure.strength import validation_rows
from utils.probes import setup

KEPT = NAMES[1:]
STAGES = ("top",)


@pytest.fixture(autouse=True)
def small_level(monkeypatch):
    monkeypatch.setitem(setup.LEVELS, "quick", setup.AuditLevel("quick", 600, (16, 64), ()))


def random_net():
    torch.manual_seed(0)
    return PlainNet()


@pytest.mark.parametrize("kind", ["oracle", "random"])
def test_the_word_and_the_figures_are_those_of_an_audit_on_the_same_rows(kind):
    data, original = PlainFaces(2500, 1500), plain_net()
    other = plain_net(KEPT, sees=KEPT) if kind == "oracle" else random_net()
    learning, held_out = validation_rows(data, ["Bald"])
    view = SimpleNamespace(**vars(data), batches=data.batches, rows={"train": learning, "test": held_out}.get)
    options = {"stages": STAGES, "resamples": 100, "progress": False}
    networks = {"original": original, kind: other}
    reference = make_validation_reference(networks, view, ["Bald"], (learning, held_out), **options)
    for unlearned in (plain_net(sees=KEPT), plain_net(sees=("Smiling",))):
        ours = measure(unlearned, reference)
        theirs = audit({**networks, "unlearned": unlearned}, view, "Bald", **options)
        record = theirs["nets"]["unlearned"]
        assert ours["targets"]["Bald"]["verdict"]["word"] == theirs["verdict"]["word"]
        gaps = record["gaps"]["attacks"]
        cheap = {
            a: {p: g | {"information": None} for p, g in gaps[a].items()} for a in ("linear", "unpooled", "quadratic")
        }
        assert ours["targets"]["Bald"]["gaps"] == cheap
        assert ours["kept"] == record["kept_changes"]["heads"]
        losses = [-figure["value"] for head in ours["kept"].values() for figure in head.values()]
        assert ours["kept_loss"] == max(losses)


def test_two_targets_without_an_oracle_are_both_measured_and_qualified():
    data, networks = PlainFaces(2500, 1500), {"original": plain_net(), "random": random_net()}
    targets, options = ["Bald", "Young"], {"stages": STAGES, "resamples": 50, "progress": False}
    reference = make_validation_reference(networks, data, targets, validation_rows(data, targets), **options)
    figures = measure(plain_net(sees=("Smiling",)), reference)
    assert set(figures["targets"]) == {"Bald", "Young"} and set(figures["kept"]) == {"Smiling"}
    places = [places for target in figures["targets"].values() for places in target["gaps"].values()]
    gaps = [gap["value"] for each in places for gap in each.values()]
    assert figures["worst_gap"] == max(gaps)
    assert all(target["verdict"]["word"] == UNTRAINED_ERASED for target in figures["targets"].values())
