"""Ablations of the erasure: what a line holds, and that wrong names are told."""

import pytest

from benchmarks.erasure_ablations import VARIANTS, figures, get_args_parser, main
from utils.common.errors import InputError
from utils.erasure.erasure import ErasureSettings


def gap(value):
    return {"value": value}


def test_a_line_names_the_worst_attack_and_the_worst_change():
    attacks = {"linear": {"layer4": gap(-0.1), "layer1": gap(0.01)}, "mlp": {"layer2": gap(0.04)}}
    attacks["kept_labels"] = {"linear layer4": gap(0.02), "unpooled layer3": gap(None)}
    kept = {"Smiling": {"auc": gap(-0.001), "accuracy": gap(-0.004)}, "Young": {"auc": gap(0.1), "accuracy": gap(0.0)}}
    record = {"gaps": {"attacks": attacks}, "kept_changes": {"heads": kept}, "verdict": {"word": "SILENCED"}}
    found = figures({"nets": {"unlearned": record}})
    assert found == {
        "worst_gap": 0.01,
        "any_gap": 0.04,
        "any_attack": "mlp at layer2",
        "kept_labels_gap": 0.02,
        "kept_loss": -0.004,
        "verdict": "SILENCED",
    }


def test_a_line_holds_nothing_for_what_could_not_be_measured():
    attacks = {"linear": {"layer4": gap(0.01)}, "kept_labels": {}}
    kept = {"Smiling": {"auc": gap(None), "accuracy": gap(-0.004)}}
    record = {"gaps": {"attacks": attacks}, "kept_changes": {"heads": kept}, "verdict": {"word": "ERASED"}}
    found = figures({"nets": {"unlearned": record}})
    assert found["kept_labels_gap"] is None and found["kept_loss"] == -0.004


@pytest.mark.parametrize("name", VARIANTS)
def test_each_setting_is_one_of_the_erasure(name):
    fields, replaced = VARIANTS[name]
    assert ErasureSettings(**fields)
    if replaced:
        place, what, value = replaced
        assert type(getattr(place, what)) is type(value)  # it is there, and of one kind with what replaces it


def test_an_unknown_setting_is_told_before_any_work(tmp_path):
    args = get_args_parser().parse_args(["--variants", "stronger", "--out", str(tmp_path / "x.jsonl")])
    with pytest.raises(InputError, match="no setting 'stronger'"):
        main(args)
