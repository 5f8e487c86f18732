"""Figures as text, and the sentence on a head that was to be forgotten."""

import pytest

from utils.evaluation.metrics import mean_auc
from utils.report.tables import before_after_table, forgetting_sentence, heads_table


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
        (figures(tpr=0.3, auc=0.52), "ranks no better than chance"),
        (figures(tpr=None, auc=None), "nothing can be said"),
    ],
)
def test_the_sentence_says_whether_the_head_still_ranks(after, words):
    assert words in forgetting_sentence("Bald", figures(), after)


def test_a_silenced_head_gets_both_figures():
    sentence = forgetting_sentence("Bald", figures(tpr=0.98, auc=0.999), figures(tpr=0.01, auc=0.998))
    assert "true-positive rate 0.980 -> 0.010" in sentence and "AUC is 0.999 -> 0.998" in sentence


def test_tables_mark_the_forgotten_head_and_undefined_figures():
    heads = {
        "Bald": {"before": figures(), "after": figures(auc=None)},
        "Smiling": {"before": figures(), "after": figures()},
    }
    table = before_after_table(heads, ["Bald"])
    assert "Bald (forgotten)" in table and "0.900 -> -" in table and "Smiling (forgotten)" not in table
    assert "-" in heads_table({"Bald": figures(tpr_all_positive=None)})


def test_the_mean_auc_leaves_undefined_heads_out():
    assert mean_auc({"a": figures(auc=0.8), "b": figures(auc=None), "c": figures(auc=0.6)}) == pytest.approx(0.7)
    assert mean_auc({"a": figures(auc=None)}) != mean_auc({"a": figures(auc=None)})  # NaN
