from types import SimpleNamespace

import pytest

from models import build_model
from utils.common.errors import InputError
from utils.evaluation.predict import before_after_table, table_of
from utils.pruning.unlearning import channels_to_prune, method_name, plain_words


def figures(**changes):
    row = {"n": 10, "tpr": 1.0, "auc": 0.9, "tpr_all_positive": 1.0, "accuracy": 0.9, "balanced_accuracy": 0.9}
    return {**row, **changes}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (figures(tpr=0.0, auc=0.99), "silenced, not erased"),
        (figures(tpr=0.4, auc=0.99), "pushed down, not erased"),
        (figures(tpr=1.0, auc=0.9), "not forgotten"),
        (figures(tpr=0.0, auc=0.1), "INVERTED, not forgotten"),
        (figures(tpr=0.3, auc=0.52), "no longer tells"),
        (figures(tpr=None, auc=None), "nothing can be said"),
    ],
)
def test_the_sentence_says_whether_the_head_still_ranks(after, words):
    assert words in plain_words("Bald", figures(), after)


def test_a_silenced_head_is_told_with_both_figures():
    said = plain_words("Bald", figures(tpr=0.98, auc=0.999), figures(tpr=0.01, auc=0.998))
    assert "true-positive rate 0.980 -> 0.010" in said and "AUC is 0.999 -> 0.998" in said


def test_tables_mark_the_forgotten_head_and_undefined_figures():
    heads = {
        "Bald": {"before": figures(), "after": figures(auc=None)},
        "Smiling": {"before": figures(), "after": figures()},
    }
    table = before_after_table(heads, ["Bald"])
    assert "Bald (forgotten)" in table and "0.900 -> -" in table and "Smiling (forgotten)" not in table
    assert "-" in table_of({"Bald": figures(tpr_all_positive=None)})


def test_a_method_is_named_by_what_differs_from_the_published_one():
    published = {"rule": "balance", "importance": "gradcam", "layers": ["5"]}
    assert method_name(published) == "prune"
    assert method_name({**published, "rule": "no_balance", "layers": ["2"]}) == "prune, no balance, layers 2"
    assert method_name({**published, "importance": "gradient_activation"}) == "prune, gradient x activation"
    assert method_name({"rule": "random"}) == "control, random channels"
    assert method_name({"rule": "released"}) == "prune"


def test_released_votes_of_another_network_are_refused(tmp_path):
    network = SimpleNamespace(model=build_model("resnet18", ["a", "b"]), attributes=("a", "b"), name="resnet18")
    (tmp_path / "votes.txt").write_text("block6.conv2\t[2, 0]\n")
    with pytest.raises(InputError, match="2 votes for layer block6.conv2, but resnet18 has no such convolution"):
        channels_to_prune(tmp_path / "votes.txt", network, ["a"])
    (tmp_path / "votes.txt").write_text("conv1\t[2, 0]\n")
    with pytest.raises(InputError, match="2 votes for layer conv1, but resnet18 has 64 channels there"):
        channels_to_prune(tmp_path / "votes.txt", network, ["a"])
    (tmp_path / "votes.txt").write_text(f"conv1\t{[2, 1] + [0] * 62}\n")
    assert channels_to_prune(tmp_path / "votes.txt", network, ["a"]) == ({"conv1": [0]}, {"rule": "released"})
