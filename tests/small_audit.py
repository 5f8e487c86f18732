"""An audit written down by hand, as `utils.audit.audit.audit` returns it."""

STAGES = ["layer3", "layer4", "features"]


def figure(value, **more):
    """A figure as audits have them."""
    interval = None if value is None else [value - 0.1, value + 0.1]
    return {"value": value, "interval": interval, "n": 9, "n_positive": 4} | more


def attacks_of(value, make=figure):
    """Figures of some attacks, as `make` gives them; one is undefined, one has no place."""
    return {
        "linear": {"layer3": make(value - 0.05), "layer4": make(value), "features": make(value - 0.02)},
        "kept_labels": {"linear layer4": make(value + 0.01), "unpooled layer3": make(value)},
        "relearning_head": {"all sizes": make(value - 0.1)},
        "quadratic": {"layer4": make(None)},
        "stitching": {},
    }


def record(auc, attack, has_head=True):
    """What an audit keeps of one network; the oracle's attacks find 0.8."""
    point = {**figure(0.75), "asked": 16, "n": 8, "draws": 3}
    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}
    heads = {"Smiling": {"auc": 0.9, "intervals": {}}, "Bald": {"auc": auc, "intervals": {}}}

    def gap(value):
        return figure(None if value is None else round(value - 0.8, 3), p=0.0004, information=0.125)

    return {
        "heads": {name: heads[name] for name in heads if has_head or name != "Bald"},
        "shipped": figure(auc, has_head=has_head, roc=roc if has_head else None),
        "attacks": attacks_of(attack),
        "gaps": {"reference": "oracle", "attacks": attacks_of(attack, gap)},
        "membership": figure(0.5, **{"tpr_at_1_percent": 0.012, "tpr_at_0.1_percent": None}) if has_head else None,
        "relearning": {"head": {"curve": [point], "area": {"value": 0.25}}, "whole_net": {"curve": []}},
        "kept_changes": {
            "since": "original",
            "heads": {"Smiling": {"auc": figure(-0.01), "accuracy": figure(0.001)}, "Young": {"auc": figure(None)}},
        },
        "verdict": {"word": "SILENCED", "qualifier": "", "reason": "for a reason", "numbers": {"found": []}},
    }


def small_audit():
    """An audit of "Bald": the unlearned network is 0.01 above the oracle at layer4, the original 0.18."""
    nets = {"oracle": record(0.5, 0.8, False), "original": record(0.99, 0.98), "unlearned": record(0.5, 0.81)}
    for network in nets.values():
        network["kept_changes"]["heads"]["Young"]["accuracy"] = figure(None)
    found = [{"attack": "linear", "place": "layer4"}, {"attack": "kept_labels", "place": "unpooled layer3"}]
    nets["unlearned"]["verdict"]["numbers"]["found"] = [pair | figure(0.01) for pair in found]
    return {
        "target": "Bald",
        "kept": ["Smiling"],
        "level": {"name": "quick", "sizes": [16]},
        "n": {"test": 1500, "test_positive": 146},
        "stages": STAGES,
        "nets": nets,
        "kept_labels": figure(0.55),
        "verdict": nets["unlearned"]["verdict"],
        "notes": ["a remark"],
    }
