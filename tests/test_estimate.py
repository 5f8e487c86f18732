"""Estimates on label tables and graphs small enough to work out by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from plain_faces import PlainFaces

from utils.errors import InputError
from utils.estimate import beyond_chance, compare, estimate, floor, loss_of, phi, shared_channels
from utils.estimate_outputs import compare_if_there, graph_with_scores, read_estimate, summary, write_and_show


def graph_of(**essential):
    """One layer of ten channels."""
    return SimpleNamespace(layers={"conv": 10}, essential={"conv": essential})


def figures(auc, accuracy=0.9):
    return {"auc": auc, "accuracy": accuracy}


def heads_losing(losses, target="Bald"):
    """{head: before and after}: kept heads that lose so much of AUC, and a target that is at chance."""
    heads = {head: {"before": figures(0.95), "after": figures(0.95 - loss)} for head, loss in losses.items()}
    return heads | {target: {"before": figures(0.9), "after": figures(0.5)}}


def estimated(scores, floor=0.6):
    kept = [{"head": head, "score": score, "reason": "-"} for head, score in scores.items()]
    return {"basis": "labels", "kept": kept, "floor": {"Bald": {"value": floor}}}


def test_phi_is_the_quotient_of_the_four_counts():
    a, b = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0, 0])  # 2 both, 1, 1, 4 neither
    assert phi(a, b) == pytest.approx((2 * 4 - 1 * 1) / (3 * 5))
    assert phi(a, a) == pytest.approx(1) and phi(a, 1 - a) == pytest.approx(-1)
    assert phi(a, np.ones(8, int)) == 0


def test_shared_channels_count_beyond_what_unrelated_sets_would_share():
    graph = graph_of(Bald=[0, 1], Smiling=[1, 2], Young=[3])
    assert shared_channels(graph, "Smiling", ["Bald"]) == {"conv": (0.5, 0.2)}
    assert beyond_chance({"conv": (0.5, 0.2)}) == pytest.approx(0.375)
    assert beyond_chance({"a": (0.1, 0.2), "b": (1.0, 0.5)}) == pytest.approx(0.5)  # below chance counts as none
    assert shared_channels(graph, "Young", ["Bald", "Smiling"]) == {"conv": (0.0, 0.3)}
    assert beyond_chance({}) == 0 and beyond_chance({"conv": (1.0, 1.0)}) == 0


def data_with_copy():
    """Smiling is Bald but for a few images, Young goes its own way."""
    data = PlainFaces(1200, 1000)
    data.labels[:, 1] = data.labels[:, 0]
    data.labels[:1000:20, 1] ^= 1
    return data


def test_the_head_whose_labels_follow_the_target_is_expected_to_suffer_most():
    found = estimate(data_with_copy(), ["Bald"], resamples=50)
    assert [one["head"] for one in found["kept"]] == ["Smiling", "Young"] and found["basis"] == "labels"
    first, second = found["kept"]
    assert first["score"] == pytest.approx(abs(first["phi"]["Bald"])) and first["score"] > 0.8 > 0.1 > second["score"]
    assert "go with Bald" in first["reason"] and first["shared"] is None


def test_a_graph_adds_the_channels_that_the_target_shares():
    graph = graph_of(Bald=[0, 1], Smiling=[8, 9], Young=[0, 1])
    found = estimate(PlainFaces(), ["Bald"], graph, resamples=50)
    assert [one["head"] for one in found["kept"]] == ["Young", "Smiling"] and found["basis"] == "labels and graph"
    young = found["kept"][0]
    assert young["score"] == pytest.approx((abs(young["phi"]["Bald"]) + 1) / 2)
    assert young["shared"] == {"conv": [1.0, 0.2]} and "100% of its essential channels" in young["reason"]


def test_of_several_targets_the_nearest_counts():
    found = estimate(data_with_copy(), ["Bald", "Young"], resamples=50)
    (only,) = found["kept"]
    assert only["head"] == "Smiling" and only["score"] == pytest.approx(abs(only["phi"]["Bald"]))
    assert set(found["floor"]) == {"Bald", "Young"}


def test_the_floor_is_what_the_true_kept_labels_tell_of_the_target():
    data = data_with_copy()
    found = estimate(data, ["Bald"], resamples=50)["floor"]["Bald"]
    bald, copy = data.labels[:1000, 0], data.labels[:1000, 1]
    by_hand = (copy[bald == 1].mean() + 1 - copy[bald == 0].mean()) / 2  # AUC of a 0/1 score
    assert found["value"] == pytest.approx(by_hand, abs=0.02) and found["n"] == 1000
    unrelated = estimate(PlainFaces(3000, 2800), ["Bald"], resamples=50)["floor"]["Bald"]["value"]
    assert abs(unrelated - 0.5) < 0.04
    assert floor({"A": np.array([1, 0, 0, 0]), "B": np.zeros(4)}, ["B"], "A")["value"] is None


def test_no_test_image_moves_the_estimate():
    data, other = PlainFaces(), PlainFaces()
    other.labels[other.everything("test")] = 1 - other.labels[other.everything("test")]
    assert estimate(data, ["Bald"], resamples=50) == estimate(other, ["Bald"], resamples=50)


def test_a_loss_is_the_worse_of_auc_and_accuracy():
    assert loss_of(figures(0.9, 0.8), figures(0.89, 0.75)) == pytest.approx(0.05)
    assert loss_of(figures(0.9, 0.8), figures(0.95, 0.85)) == pytest.approx(-0.05)
    assert loss_of(figures(None, 0.8), figures(None, 0.7)) == pytest.approx(0.1)


def test_ranks_agree_disagree_or_are_too_few_to_compare():
    scores = {"A": 0.9, "B": 0.5, "C": 0.1}
    found = compare(estimated(scores), heads_losing({"A": 0.03, "B": 0.02, "C": 0.01}))
    assert found["spearman"] == pytest.approx(1) and found["worst_foreseen"] is True
    found = compare(estimated(scores), heads_losing({"A": 0.01, "B": 0.02, "C": 0.03}))
    assert found["spearman"] == pytest.approx(-1) and found["worst_foreseen"] is False
    assert found["kept"][0] == {"head": "A", "score": 0.9, "loss": pytest.approx(0.01)}
    pair = compare(estimated({"A": 0.9, "B": 0.5}), heads_losing({"A": 0.03, "B": 0.02}))
    assert pair["spearman"] is None and pair["worst_foreseen"] is True
    alone = compare(estimated({"A": 0.9}), heads_losing({"A": 0.03}))
    assert alone["worst_foreseen"] is None and len(alone["kept"]) == 1
    assert compare(estimated(scores), heads_losing(dict.fromkeys("ABC", 0.01)))["spearman"] is None


@pytest.mark.parametrize(("probe", "held"), [(0.7, True), (0.59, True), (0.55, False), (None, None)])
def test_the_floor_is_checked_against_the_best_probe(probe, held):
    probes = {"Bald": {"layer1": 0.5, "layer4": probe}} if probe else None
    found = compare(estimated({"A": 0.9}, floor=0.6), heads_losing({"A": 0.0}), probes)["floor"]["Bald"]
    assert found == {"floor": 0.6, "probe": probe, "head": 0.5, "held": held}


def record_of(sha256="a" * 64, **more):
    heads = heads_losing({"Smiling": 0.03, "Young": 0.0})
    names = {"attributes": ["Bald", "Smiling", "Young"], "forgotten": ["Bald"], "parent_sha256": sha256}
    return {**names, "heads": heads, **more}


def test_an_estimate_is_written_found_again_and_compared(tmp_path, capsys):
    write_and_show(tmp_path, estimate(data_with_copy(), ["Bald"], resamples=50), "a" * 64)
    assert "Smiling" in capsys.readouterr().out
    audit = {"Bald": {"nets": {"unlearned": {"probes": {"top": {"value": 0.96}}}}}}
    found = compare_if_there(tmp_path, record_of(audit=audit))["estimate"]
    printed = capsys.readouterr().out
    assert "the head expected to suffer most did" in printed and "best probe 0.960: held" in printed
    assert found["floor"]["Bald"]["held"] is True and json.loads(json.dumps(found)) == found
    assert compare_if_there(tmp_path, record_of())["estimate"]["floor"]["Bald"]["held"] is None
    assert "not checked" in capsys.readouterr().out


def test_an_estimate_of_another_network_is_not_compared_and_that_is_said(tmp_path, capsys):
    assert compare_if_there(tmp_path, record_of()) == {} and capsys.readouterr().out == ""
    write_and_show(tmp_path, estimate(data_with_copy(), ["Bald"], resamples=50), "b" * 64)
    capsys.readouterr()
    assert compare_if_there(tmp_path, record_of()) == {}
    assert "of another network" in capsys.readouterr().out


def test_a_damaged_estimate_is_one_line_with_the_cure(tmp_path):
    path = tmp_path / "estimate.json"
    for content in ("{", "[]", '{"attributes": ["A"]}'):
        path.write_text(content)
        with pytest.raises(InputError, match="is not a whole estimate .*--estimate"):
            read_estimate(path, ["A"], ["B"], "a" * 64)


def test_the_released_text_does_not_do_for_an_estimate(tmp_path):
    with pytest.raises(InputError, match="holds votes only"):
        graph_with_scores(tmp_path / "dict.txt")


def test_the_words_say_what_the_estimate_rests_on():
    words = summary(estimate(PlainFaces(), ["Bald"], resamples=50))
    assert "from labels, 600 training images" in words and "run step 2" in words
    assert "from the true labels of Smiling, Young alone, which tell nothing of it" in words
    assert "no method can take away" in summary(estimate(data_with_copy(), ["Bald"], resamples=50))
    graph = graph_of(Bald=[0, 1], Smiling=[8, 9], Young=[0, 1])
    assert "run step 2" not in summary(estimate(PlainFaces(), ["Bald"], graph, resamples=50))
