"""The dial on nets whose answers are known, and the choice on points written down by hand."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, PlainNet, plain_net
from test_erasure import RECIPE, trained  # noqa: F401

from utils.audit import setup
from utils.audit.audit import audit
from utils.audit.frontier import choose, knee, sweep
from utils.audit.validation import excess, make_ruler, measure, validation_rows
from utils.common.errors import InputError
from utils.report.strength_report import choice_in_words, compact, summary, write_frontier

KEPT = NAMES[1:]
STAGES = ("top",)


@pytest.fixture(autouse=True, scope="module")
def small_level():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(setup.LEVELS, "quick", setup.AuditLevel("quick", 600, (16, 64), ()))
        yield


def point(strength, gap=0.0, loss=0.0, word="SILENCED", distance=0.0):
    figures = {"strength": strength, "worst_gap": gap, "kept_loss": loss, "head_distance": distance}
    return figures | {"excess": excess(figures), "targets": {"Bald": {"verdict": {"word": word, "qualifier": ""}}}}


def random_net():
    torch.manual_seed(0)
    return PlainNet()


@pytest.fixture(scope="module")
def data():
    return PlainFaces(2500, 1500)


@pytest.fixture(scope="module")
def nets(trained):  # noqa: F811
    """A trained wide net, and an oracle whose features never saw the target."""
    return {"original": trained, "oracle": plain_net(KEPT, sees=KEPT)}


@pytest.fixture(scope="module")
def swept(data, nets):
    state = copy.deepcopy(nets["original"].state_dict())
    found = sweep(nets, data, ["Bald"], RECIPE, [3.0, 0.01], stages=STAGES, resamples=100, progress=False)
    assert all(torch.equal(value, state[name]) for name, value in nets["original"].state_dict().items())
    return found


def test_validation_rows_are_a_fifth_of_the_training_rows_of_each_class_and_no_test_row(data):
    fit, held = validation_rows(data, ["Bald"])
    train = data.rows("train")
    assert np.array_equal(np.sort(np.concatenate([fit, held])), train)
    labels = data.labels[:, 0]
    assert len(held) == round(0.2 * len(train)) and abs(labels[held].sum() - 0.2 * labels[train].sum()) <= 0.5
    assert all(map(np.array_equal, validation_rows(data, ["Bald"]), (fit, held)))
    assert not np.array_equal(validation_rows(data, ["Bald"], seed=1)[1], held)


def test_a_validation_part_is_taken_where_the_split_has_one(data):
    other = PlainFaces(2500, 1500)
    other.splits = {"train": np.arange(1000), "valid": np.arange(1000, 1500), "test": np.arange(1500, 2500)}
    fit, held = validation_rows(other, ["Bald", "Young"])
    assert np.array_equal(fit, np.arange(1000)) and np.array_equal(held, np.arange(1000, 1500))


def test_too_few_images_of_the_target_are_told():
    few = PlainFaces(700, 600)
    few.labels[:, 0] = 0
    few.labels[:2, 0] = 1
    with pytest.raises(InputError, match="too few training images with and without Bald"):
        validation_rows(few, ["Bald"])


@pytest.mark.parametrize("kind", ["oracle", "random"])
def test_the_word_and_the_figures_are_those_of_an_audit_on_the_same_rows(data, kind):
    reference = plain_net(KEPT, sees=KEPT) if kind == "oracle" else random_net()
    fit, held = validation_rows(data, ["Bald"])
    view = SimpleNamespace(**vars(data), batches=data.batches, rows={"train": fit, "test": held}.get)
    ruler = make_ruler(plain_net(), reference, kind, view, ["Bald"], fit, held, stages=STAGES, resamples=100)
    for unlearned in (plain_net(sees=KEPT), plain_net(sees=("Smiling",))):
        ours = measure(unlearned, ruler, STAGES, progress=False)
        nets = {"original": plain_net(), "unlearned": unlearned, kind: reference}
        theirs = audit(nets, view, "Bald", stages=STAGES, resamples=100, progress=False)
        record = theirs["nets"]["unlearned"]
        assert ours["targets"]["Bald"]["verdict"]["word"] == theirs["verdict"]["word"]
        assert ours["targets"]["Bald"]["verdict"]["reason"] == theirs["verdict"]["reason"]
        assert ours["targets"]["Bald"]["gaps"] == record["probe_gaps"]["linear"]
        assert ours["kept"] == record["kept_changes"]["heads"]
        losses = [-figure["value"] for head in ours["kept"].values() for figure in head.values()]
        assert ours["kept_loss"] == max(losses)


def test_a_stronger_setting_forgets_more_and_the_sweep_says_what_each_did(swept):
    assert [one["strength"] for one in swept["points"]] == [0.01, 3.0] and swept["reference"] == "oracle"
    mild, strong = swept["points"]
    assert strong["worst_gap"] < mild["worst_gap"] < swept["original"]["worst_gap"]
    assert swept["validation"] == {"part": "train", "learnt_from": 1200, "rows": 300, "positives": {"Bald": 120}}
    assert all(one["seconds"] > 0 for one in swept["points"]) and "strength" not in swept["recipe"]
    assert json.loads(json.dumps(swept, allow_nan=False)) == swept


def test_the_same_sweep_twice_gives_the_same_figures_but_for_the_time(data, nets, swept):
    again = sweep(nets, data, ["Bald"], RECIPE, [0.01, 3.0], stages=STAGES, resamples=100, progress=False)
    for one, other in zip(again["points"], swept["points"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert again["chosen"] == swept["chosen"]


def test_test_images_do_not_move_the_sweep(nets, swept):
    other = PlainFaces(2500, 1500)
    other.labels[1500:] = 1 - other.labels[1500:]
    other.images = torch.cat([other.images[:1500], -other.images[1500:]])
    again = sweep(nets, other, ["Bald"], RECIPE, [0.01, 3.0], stages=STAGES, resamples=100, progress=False)
    for one, same in zip(again["points"], swept["points"], strict=True):
        assert {**one, "seconds": 0} == {**same, "seconds": 0}


def test_two_targets_without_an_oracle_are_both_judged_and_qualified(data, nets):
    nets = {"original": nets["original"], "random": random_net()}
    found = sweep(nets, data, ["Bald", "Young"], RECIPE, [1.0], stages=STAGES, resamples=50, progress=False)
    (only,) = found["points"]
    assert set(only["targets"]) == {"Bald", "Young"} and set(only["kept"]) == {"Smiling"}
    gaps = [figure["value"] for one in only["targets"].values() for figure in one["gaps"].values()]
    assert only["worst_gap"] == max(gaps) and found["knee"] is None
    assert all(one["verdict"]["qualifier"] == "no oracle" for one in only["targets"].values())
    assert "(no oracle)" in summary(found)


def test_the_mildest_that_erases_is_chosen():
    points = [point(0.5, 0.1), point(1.0, word="ERASED"), point(2.0, word="ERASED")]
    assert choose(points) == (points[1], True)


def test_where_none_erases_the_least_excess_is_chosen_and_of_equals_the_milder():
    points = [point(0.5, gap=0.06), point(1.0, loss=0.01), point(2.0, distance=0.1), point(4.0, 0.06)]
    assert [one["excess"] for one in points] == pytest.approx([2, 1, 1, 2])
    assert choose(points) == (points[1], False)
    assert choose([point(1.0, gap=None), point(2.0, 0.5)])[0]["strength"] == 2.0
    with pytest.raises(InputError, match="no strength can be judged"):
        choose([point(1.0, gap=None)])


def test_what_is_within_the_allowances_has_no_excess():
    assert excess(point(1.0, 0.02, 0.005, distance=0.05)) == 0
    assert excess(point(1.0, -0.3, -0.3)) == 0


def test_the_knee_lies_farthest_below_the_chord():
    curve = [point(1, 0.10, 0.00), point(2, 0.02, 0.01), point(3, 0.01, 0.05), point(4, 0.0, 0.10)]
    assert knee(curve) == 2
    assert knee([point(1, 0.1, 0.0), point(2, 0.05, 0.05), point(3, 0.0, 0.1)]) is None  # straight
    assert knee([point(1, 0.1, 0.0), point(2, 0.09, 0.09), point(3, 0.0, 0.1)]) is None  # bends the other way
    assert knee(curve[:2]) is None and knee([point(s) for s in (1, 2, 3)]) is None
    assert knee([point(0.5, gap=None), *curve]) == 2


def test_the_files_and_the_words_are_written(tmp_path, swept):
    for name in ("one", "two"):
        write_frontier(tmp_path / name, swept)
    assert json.loads((tmp_path / "one" / "frontier.json").read_text()) == swept
    assert (tmp_path / "one" / "frontier.png").read_bytes() == (tmp_path / "two" / "frontier.png").read_bytes()
    words = summary(swept)
    assert "300 images of the training part" in words and "NOT FORGOTTEN" in words and "the oracle's" in words
    assert compact(swept)["chosen"] == swept["chosen"] and len(compact(swept)["points"]) == 2


def test_undefined_figures_leave_gaps_in_the_picture_and_dashes_in_the_table(tmp_path, swept):
    hollow = copy.deepcopy(swept)
    hollow["points"][0] |= {"worst_gap": None, "excess": None}
    for stage in hollow["points"][0]["targets"]["Bald"]["gaps"].values():
        stage["value"] = None
    hollow["original"]["worst_gap"] = None
    write_frontier(tmp_path, hollow)
    assert (tmp_path / "frontier.png").read_bytes()[:4] == b"\x89PNG"
    row = next(line for line in summary(hollow).splitlines() if line.startswith("0.01"))
    assert row.split(" | ")[2].strip() == "-"


def test_the_choice_in_words_says_whether_it_reached_the_verdict():
    points = [point(0.5, gap=0.06), point(1.0, word="ERASED")]
    reached = {"points": points, "chosen": 1.0, "reached": True, "knee": None}
    assert choice_in_words(reached).startswith("strength 1 is the mildest that reaches ERASED")
    nearest = {"points": points[:1], "chosen": 0.5, "reached": False, "knee": 0.5}
    words = choice_in_words(nearest)
    assert "no strength reaches ERASED; 0.5 comes nearest: SILENCED, excess 2.00" in words and "knee at 0.5" in words
