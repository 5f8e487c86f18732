"""The whole audit on a network whose answers are known: attribute k is the brightness of channel k."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import audit_without_costly_attacks
from plain_faces import NAMES, PlainFaces, PlainNet, plain_net

from tools.audit import audit_networks
from utils.attacks import kept_labels
from utils.audit.audit import _missed_places, audit
from utils.audit.verdict import UNTRAINED_ERASED
from utils.common.errors import InputError
from utils.probes import setup
from utils.probes.setup import AuditLevel, balanced_subset, set_up_audit

KEPT = NAMES[1:]
STAGES = ("top",)


@pytest.fixture(autouse=True, scope="module")
def small_levels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(setup.LEVELS, "quick", AuditLevel("quick", 600, (16, 64), ()))
        patch.setitem(setup.LEVELS, "full", AuditLevel("full", 600, (16, 64), (16, 64), draws=2))
        yield


def random_network():
    torch.manual_seed(0)
    return PlainNet()


def networks_with(unlearned, **changes):
    networks = {"original": plain_net(), "unlearned": unlearned, "oracle": plain_net(KEPT, sees=KEPT)}
    networks |= changes
    return {name: network for name, network in networks.items() if network is not None}


def evaluate(unlearned, data=None, target="Bald", **changes):
    return audit(networks_with(unlearned, **changes), data or PlainFaces(), target, stages=STAGES, resamples=100)


def edited(edit):
    network = plain_net()
    with torch.no_grad():
        edit(network)
    return network


def erased():
    """Neither the features nor the head know the target; the kept heads are the original's."""
    return plain_net(sees=KEPT)


@pytest.fixture(scope="module")
def of_erased():
    """The audit of an erased network, with all the others."""
    return evaluate(erased(), random=random_network())


def test_the_oracle_against_itself_is_erased():
    found = evaluate(plain_net(KEPT, sees=KEPT))
    assert found["verdict"]["word"] == "ERASED" and found["verdict"]["qualifier"] == ""
    assert found["nets"]["unlearned"]["gaps"]["attacks"]["linear"]["top"]["interval"] == [0, 0]
    assert found["nets"]["unlearned"]["shipped"]["has_head"] is False
    assert evaluate(plain_net(KEPT, sees=KEPT), original=None)["verdict"]["word"] == "ERASED"


def test_a_network_without_the_target_in_its_features_is_erased(of_erased):
    assert of_erased["verdict"]["word"] == "ERASED"
    assert abs(of_erased["nets"]["unlearned"]["shipped"]["value"] - 0.5) < 0.05


def test_places_that_the_unlearned_network_lacks_are_named(of_erased):
    attacks = {"linear": {"layer1": 0.5, "layer2": 0.5}, "stitching": {"layer1": 0.5}}
    own = {"linear": {"layer2": 0.5}}
    readouts = {"oracle": attacks, "unlearned": own, "original": attacks}
    found = _missed_places({name: SimpleNamespace(record={"attacks": of}) for name, of in readouts.items()})
    assert len(found) == 1 and "2 places" in found[0] and "linear at layer1" in found[0]
    assert not any("lacks" in note for note in of_erased["notes"])


def test_the_original_against_the_oracle_is_not_forgotten():
    found = evaluate(plain_net())
    assert found["verdict"]["word"] == "NOT FORGOTTEN"
    assert found["nets"]["unlearned"]["shipped"]["value"] > 0.98


def test_a_head_with_its_sign_flipped_is_inverted():
    def flip(network):
        network.heads.weight[0] *= -1
        network.heads.bias[0] *= -1

    found = evaluate(edited(flip))
    assert found["verdict"]["word"] == "INVERTED"
    assert found["nets"]["unlearned"]["shipped"]["value"] < 0.02


def test_a_head_pushed_under_its_threshold_is_silenced_with_stage_and_figure():
    def push(network):
        network.heads.bias[0] = -50

    found = evaluate(edited(push))
    assert found["verdict"]["word"] == "SILENCED"
    auc = found["nets"]["unlearned"]["shipped"]["value"]
    assert f"head AUC {auc:.3f}" in found["verdict"]["reason"] and " at top" in found["verdict"]["reason"]
    assert auc > 0.98 and found["nets"]["unlearned"]["heads"]["Bald"]["tpr_all_positive"] == 0


def test_a_network_with_a_random_last_stage_is_damaged_and_the_head_is_named():
    def reset(network):
        torch.manual_seed(1)
        network.top.reset_parameters()

    found = evaluate(edited(reset))
    assert found["verdict"]["word"] == "DAMAGED"
    assert "ruined" in found["verdict"]["reason"] and any(head in found["verdict"]["reason"] for head in KEPT)


def test_dropping_the_head_is_silenced_at_the_features(of_erased):
    found = of_erased["nets"]
    assert found["drop_head"]["verdict"]["word"] == "SILENCED"
    assert (
        found["drop_head"]["shipped"]["value"] == 0.5 and found["drop_head"]["attacks"] == found["original"]["attacks"]
    )
    assert found["drop_head"]["relearning"] == found["original"]["relearning"]
    assert found["drop_head"]["heads"]["Smiling"] == found["original"]["heads"]["Smiling"]
    assert abs(found["drop_head"]["heads"]["Bald"]["mean_predicted"] - 0.4) < 0.05


def test_every_network_gets_a_verdict_as_the_unlearned_one_does(of_erased):
    words = {name: record["verdict"]["word"] for name, record in of_erased["nets"].items()}
    expected = {"oracle": "ERASED", "original": "NOT FORGOTTEN", "drop_head": "SILENCED", "unlearned": "ERASED"}
    assert words == expected | {"random": "DAMAGED"}


def test_29_positive_test_images_are_undecided_at_chance():
    data = PlainFaces(rates=(0.032, 0.5, 0.5), seed=3)
    assert 20 < data.labels[data.rows("test"), 0].sum() < 35

    def read_another(network):
        network.heads.weight[0] = torch.tensor([0.0, 10, 0])

    found = evaluate(edited(read_another), data)
    assert found["verdict"]["word"] == "UNDECIDED"
    assert evaluate(plain_net(), data)["verdict"]["word"] == "NOT FORGOTTEN"  # clear all the same


def test_without_an_oracle_the_word_is_qualified_and_the_random_network_is_the_reference():
    found = evaluate(plain_net(), oracle=None, random=random_network())
    assert found["verdict"]["qualifier"] == "no oracle"
    assert found["nets"]["unlearned"]["gaps"]["reference"] == "random"
    assert found["nets"]["unlearned"]["distance"] is None
    assert any("no oracle" in note for note in found["notes"])
    assert evaluate(plain_net(), oracle=None, original=None)["verdict"]["word"] == "NOT FORGOTTEN"


def test_an_erased_network_without_an_oracle_is_erased_as_far_as_an_untrained_one_tells():
    found = evaluate(erased(), oracle=None, random=random_network())
    assert found["verdict"]["word"] == UNTRAINED_ERASED and found["verdict"]["qualifier"] == ""
    places = found["nets"]["unlearned"]["gaps"]["attacks"]["mlp"]
    assert places["top"]["value"] is not None and places["top"]["information"] is None


def test_costly_attacks_spare_the_untrained_network_where_an_oracle_is_at_hand(of_erased):
    assert list(of_erased["nets"]) == ["oracle", "original", "drop_head", "unlearned", "random"]
    attacks = {name: set(record["attacks"]) for name, record in of_erased["nets"].items()}
    assert "mlp" not in attacks["random"] and attacks["random"] < attacks["unlearned"] == attacks["oracle"]


def test_the_share_of_what_the_original_knows_is_told(of_erased):
    shares = {
        name: record["gaps"]["attacks"]["linear"]["top"]["information"] for name, record in of_erased["nets"].items()
    }
    assert shares["original"] == shares["drop_head"] == 1 and shares["oracle"] == 0 and abs(shares["unlearned"]) < 0.1


def test_an_original_that_never_knew_the_target_leaves_nothing_to_forget():
    found = evaluate(erased(), original=erased())
    assert found["verdict"]["word"] == "UNDECIDED"
    assert "the original does not know Bald: nothing to forget" in found["verdict"]["reason"]


def test_another_forgotten_attribute_does_not_count_as_kept(monkeypatch):
    audit_without_costly_attacks(monkeypatch)
    both = plain_net(sees=("Young",))
    networks = networks_with(both, oracle=plain_net(("Young",), sees=("Young",)))
    found = audit(networks, PlainFaces(), "Bald", forgotten=["Bald", "Smiling"], stages=STAGES, resamples=100)
    assert found["kept"] == ["Young"] and found["verdict"]["word"] == "ERASED"
    assert audit(networks, PlainFaces(), "Bald", stages=STAGES, resamples=100)["verdict"]["word"] == "DAMAGED"


def test_relearning_of_the_whole_network_is_in_the_full_level_only(of_erased):
    data, networks = PlainFaces(), networks_with(erased())
    full = audit(networks, data, "Bald", level="full", stages=STAGES, resamples=50)["nets"]["original"]["relearning"]
    assert [point["asked"] for point in full["whole_net"]["curve"]] == [16, 64]
    assert full["head"]["area"]["value"] > 0.5  # two doublings, some 0.45 above the oracle
    assert of_erased["level"]["name"] == "quick"
    assert of_erased["nets"]["original"]["relearning"]["whole_net"]["curve"] == []


def test_the_same_seed_gives_the_same_json_but_for_the_timing():
    data, networks = PlainFaces(700, 300), networks_with(erased(), original=None)
    found = [
        audit(networks, data, "Bald", level="full", seed=seed, stages=STAGES, resamples=50, progress=False)
        for seed in (1, 1, 2)
    ]
    timings = [one.pop("timing") for one in found]
    assert json.dumps(found[0]) == json.dumps(found[1]) != json.dumps(found[2])
    assert json.loads(json.dumps(found[0])) == found[0]  # nothing but JSON's own types
    assert {"features", "linear", "unpooled", "membership"} <= set(timings[0]["seconds"])


def test_an_audit_leaves_the_networks_and_the_random_state_as_they_were():
    networks = {name: network.train() for name, network in networks_with(erased()).items()}
    before = copy.deepcopy({name: network.state_dict() for name, network in networks.items()})
    torch.manual_seed(5)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    audit(networks, PlainFaces(), "Bald", level="full", stages=STAGES, resamples=50)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    for name, network in networks.items():
        assert network.training and not any(module._forward_hooks for module in network.modules())
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())


def test_every_figure_has_its_interval_and_number_of_images(of_erased):
    record = of_erased["nets"]["unlearned"]
    figures = [record["shipped"], record["membership"]]
    figures += [figure for places in record["attacks"].values() for figure in places.values()]
    figures += [gap for places in record["gaps"]["attacks"].values() for gap in places.values()]
    figures += [*record["distance"]["js"].values(), *record["distance"]["cka"].values()]
    figures += [change[measure] for change in record["kept_changes"]["heads"].values() for measure in change]
    for figure in figures:
        low, high = figure["interval"]
        assert low <= figure["value"] <= high and figure["n"] > 0
    assert set(record["heads"]["Bald"]["intervals"]["auc"]) and record["heads"]["Bald"]["n"] == 900


def test_images_in_both_parts_are_remarked_and_not_attacked(monkeypatch):
    audit_without_costly_attacks(monkeypatch)
    data = PlainFaces(400)
    data.splits["train"] = data.splits["test"] = np.arange(400)
    found = evaluate(plain_net(), data)
    assert found["nets"]["unlearned"]["membership"] is None
    assert any("share images" in note for note in found["notes"])


def test_a_target_that_no_training_image_has_leaves_figures_empty_and_undecided():
    data = PlainFaces()
    data.labels[data.rows("train"), 0] = 0
    found = evaluate(erased(), data)
    assert found["nets"]["unlearned"]["attacks"]["linear"]["top"]["value"] is None
    assert found["nets"]["unlearned"]["relearning"]["head"]["curve"] == []
    assert found["verdict"]["word"] == "UNDECIDED"


def test_mistakes_are_refused_before_any_work():
    data = PlainFaces()
    with pytest.raises(InputError, match="no attribute 'Balld' among those opened: did you mean Bald"):
        audit({"unlearned": plain_net()}, data, "Balld")
    with pytest.raises(InputError, match="unknown audit level 'slow': choose among quick, full"):
        audit({"unlearned": plain_net()}, data, "Bald", level="slow")
    with pytest.raises(InputError, match="needs a network 'unlearned'"):
        audit({"original": plain_net()}, data, "Bald")
    with pytest.raises(InputError, match="the oracle network has heads without labels in the data opened: Hat"):
        audit({"unlearned": plain_net(), "oracle": PlainNet(("Hat",))}, data, "Bald")


def test_training_images_are_drawn_half_with_the_target_and_the_whole_test_part_is_kept():
    labels = np.array([1] * 30 + [0] * 970)
    assert labels[balanced_subset(labels, 100)].sum() == 30
    assert labels[balanced_subset(labels, 40)].sum() == 20
    assert (1 - labels)[balanced_subset(1 - labels, 100)].sum() == 70
    assert np.array_equal(balanced_subset(labels, 5000), np.arange(1000))
    chosen = set_up_audit(PlainFaces(), "Young")
    assert len(chosen.test) == 900 and np.array_equal(chosen.y_test, PlainFaces().labels[600:, 2])


def test_kept_heads_that_nothing_is_at_hand_for_are_not_called_unharmed():
    silent = plain_net(sees=KEPT)
    with torch.no_grad():
        silent.heads.weight.zero_()
    verdict = evaluate(silent, original=None, oracle=None, random=random_network())["verdict"]
    assert verdict["word"] == "UNDECIDED"
    assert "kept heads have nothing to compare with: an original or an oracle is needed" in verdict["reason"]


def test_what_an_earlier_erasure_took_out_is_no_kept_attribute_of_a_later_audit(tmp_path, monkeypatch):
    class Faces(PlainFaces):
        def prepare(self, rows):
            return rows

    learnt, train_on = [], kept_labels.train_on
    monkeypatch.setattr(
        kept_labels, "train_on", lambda *given, **more: learnt.append(given[3]) or train_on(*given, **more)
    )
    first = edited(lambda net: net.heads.weight[0].zero_())
    networks = {"original": first, "unlearned": copy.deepcopy(first), "random": random_network()}
    audit_networks(networks, Faces(), ["Young"], tmp_path, level="quick")
    assert json.loads((tmp_path / "audit_Young.json").read_text())["kept"] == ["Smiling"]
    assert learnt and set(map(tuple, learnt)) == {("Smiling",)}
    silent = plain_net(sees=KEPT)  # without an original nothing says that an earlier erasure emptied a head
    with torch.no_grad():
        silent.heads.weight.zero_()
    networks = {"unlearned": silent, "oracle": plain_net(KEPT, sees=KEPT)}
    line = audit_networks(networks, Faces(), ["Bald"], tmp_path, level="quick")
    assert line["verdict"]["Bald"]["word"] == "DAMAGED"
