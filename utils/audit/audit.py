"""The audit: every read-out of the original, the unlearned network and what they are compared with, and the verdict.

The audit measures what these probes, attacks and draws find. What they do not find may still be there: nothing here
certifies that an attribute is gone.
"""

from contextlib import ExitStack
from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from utils.attacks.registry import attacks_at
from utils.audit.comparison import compare_network, distance_to_oracle, drop_head_logits, kept_label_scores
from utils.audit.readouts import (
    open_subject,
    read_out_heads,
    read_out_membership,
    read_out_network,
    score_figure,
)
from utils.common import distributed
from utils.common.errors import InputError
from utils.common.run import Stopwatch, peak_rss_bytes
from utils.network.modes import evaluating
from utils.probes.fitting import one_thread
from utils.probes.setup import set_up_audit

#: the networks an audit knows, in the order in which they are attacked: the original first, which other attacks use
ORDER = ("original", "oracle", "unlearned", "random")
DROP_HEAD = "drop_head"
SHOWN = ("oracle", "original", DROP_HEAD, "unlearned", "random")


def audit(networks, data, target, *, forgotten=(), stages=None, progress=True, **options):
    """All read-outs on one forgotten attribute, for every network at hand, and the verdict.

    Args:
        networks: {"unlearned": network, and any of "original", "oracle", "random"}, on `device`, their heads named
            among the data's attributes; the oracle usually has no head for the target. Without an original the kept
            heads are compared with the oracle's
        data: `utils.datasets.dataset.ImageDataset` or anything with its attributes, labels, img_size, rows and batches
        target: the forgotten attribute this audit is about; others that were forgotten as well go into `forgotten` too,
            so that they do not count as kept
        stages: module names to probe; each network's `default_stages` if not given
        options: `level`, `seed`, `device`, `batch_size` and `resamples` of `utils.probes.setup.set_up_audit`
    Returns: JSON-ready dictionary. Equal for equal arguments on the same machine, but for "timing"
    Raises: InputError for an unknown attribute, level or network, for heads that the data has no labels for, or a
        network whose outputs are not finite
    """
    setup = set_up_audit(data, target, forgotten=forgotten, **options)
    _check_networks(networks, data)
    if distributed.is_main():
        result = _run_audit(networks, setup, forgotten, stages, progress)
    else:
        result = _share_passes(networks, setup, stages)
    return distributed.from_first(result)


def _share_passes(networks, setup, stages):
    """What processes beside the first do: their part of each pass over the images."""
    for name in ORDER:
        if name in networks:
            open_subject(name, networks[name], setup, stages=stages)


def _run_audit(networks, setup, forgotten, stages, progress):
    data, target, watch = setup.data, setup.target, Stopwatch(setup.device)
    kept = [name for name in data.attributes if name != target and name not in forgotten]
    readouts = _read_out_networks(networks, setup, watch, stages, progress)
    with watch("comparisons"), one_thread():
        _add_distances(readouts, kept, setup)
        for name in readouts:
            compare_network(name, readouts, kept, setup)
    level = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(setup.level).items()}
    return {
        "target": target,
        "attributes": list(data.attributes),
        "kept": kept,
        "level": level,
        "seed": setup.seed,
        "resamples": setup.resamples,
        "n": _counts(setup),
        "stages": readouts["unlearned"].subject.test.places,
        "nets": {name: own.record for name, own in readouts.items()},
        "kept_labels": _kept_labels(setup, kept),
        "verdict": readouts["unlearned"].record["verdict"],
        "notes": _remarks(networks, setup) + _missed_places(readouts),
        "timing": {"seconds": watch.seconds, "peak_rss_bytes": peak_rss_bytes()},
    }


def _check_networks(networks, data):
    unknown = [name for name in networks if name not in ORDER]
    if unknown or "unlearned" not in networks:
        known, given = ", ".join(ORDER), ", ".join(networks)
        raise InputError(f"an audit needs a network 'unlearned' and knows {known}: got {given}")
    for name, network in networks.items():
        missing = [attribute for attribute in network.attributes if attribute not in data.attributes]
        if missing:
            raise InputError(f"the {name} network has heads without labels in the data opened: {', '.join(missing)}")


def _read_out_networks(networks, setup, watch, stages, progress):
    """{name: NetworkReadouts} of the networks and of the original with its head dropped."""
    found, original, attacks = {}, None, attacks_at(setup.level.name)
    cheap, spared = [attack for attack in attacks if not attack.costly], "random" if "oracle" in networks else None
    names = tqdm(
        [name for name in ORDER if name in networks], "audit", unit="network", disable=None if progress else True
    )
    with ExitStack() as modes:
        for name in names:
            model = modes.enter_context(evaluating(networks[name]))  # the original works in attacks on the others
            with watch("features"):
                subject = open_subject(name, model, setup, stages=stages, progress=progress)
            original = subject if name == "original" else original
            subject.original = original
            with distributed.alone():
                found[name] = read_out_network(subject, cheap if name == spared else attacks, watch)
            if name == "original" and setup.target in subject.test.attributes:
                with watch("heads"):
                    found[DROP_HEAD] = _drop_head(found[name])
            if name != "original":
                _free(subject)
    if original:
        _free(original)
    return {name: found[name] for name in SHOWN if name in found}


def _free(subject):
    """Let go of the features that are not needed any more, the largest thing here: means on test images remain."""
    for features in (subject.train.stages, subject.train.maps, subject.test.maps):
        features.clear()


def _add_distances(readouts, kept, setup):
    """Distance of each network to the oracle goes into its record: None for the oracle itself, or without one."""
    for name, own in readouts.items():
        own.record["distance"] = None
        if name == DROP_HEAD:  # its kept heads and features are the original's
            own.record["distance"] = readouts["original"].record["distance"]
        elif name != "oracle" and "oracle" in readouts:
            pair = own.subject.test, readouts["oracle"].subject.test
            own.record["distance"] = distance_to_oracle(*pair, kept, setup.resamples, setup.seed)


def _drop_head(original):
    """The original's read-outs with the target's head at its base rate; attacks on features stay as they are."""
    subject, setup = original.subject, original.subject.setup
    column = subject.test.attributes.index(setup.target)
    rate = setup.data.labels[setup.data.rows("train"), setup.target_column].mean()
    train, test = (
        replace(part, logits=drop_head_logits(part.logits, column, rate)) for part in (subject.train, subject.test)
    )
    dropped = replace(original, subject=replace(subject, train=train, test=test), record=dict(original.record))
    read_out_heads(dropped)
    read_out_membership(dropped)
    return dropped


def _kept_labels(setup, kept):
    """The target from the true kept labels alone: AUC on test of what no method can go below."""
    train, columns = setup.data.labels[setup.data.rows("train")], setup.columns(kept)
    scores = kept_label_scores(train[:, columns], train[:, setup.target_column], setup.test_labels[:, columns])
    return score_figure(scores, setup)


def _missed_places(readouts):
    """A sentence on the places that the verdict says nothing of: the unlearned network has none of these names."""
    own, missed = readouts["unlearned"].record["attacks"], []
    for name in ("oracle", "original"):
        others = readouts[name].record["attacks"] if name in readouts else {}
        missed += [f"{one} at {place}" for one in others for place in others[one] if place not in own.get(one, {})]
    missed = list(dict.fromkeys(missed))
    text = f"{len(missed)} places were not attacked in the unlearned network, which lacks them (first: "
    return [f"{text}{missed[0]}): the verdict says nothing of them"] if missed else []


def _counts(setup):
    return {
        "train": len(setup.train),
        "train_positive": int(setup.y_train.sum()),
        "train_part": len(setup.data.rows("train")),
        "test": len(setup.test),
        "test_positive": int(setup.y_test.sum()),
        "test_all_positive": int(setup.test_labels.all(1).sum()),
    }


def _remarks(networks, setup):
    """Sentences without which the figures would be misread."""
    counts, remarks = _counts(setup), []
    train, total, positive = counts["train"], counts["train_part"], counts["train_positive"]
    if train < total:
        remarks.append(f"probes and attacks were fitted on {train:,} of {total:,} training images")
    balanced, most = 2 * min(positive, train - positive), max(setup.level.sizes)
    if balanced < most:
        remarks.append(f"relearning stops at {balanced:,} images, not {most:,}: the rarer class has no more")
    if np.isin(setup.train, setup.test).any():
        remarks.append("training and test part share images, so figures are optimistic and membership was not attacked")
    if "oracle" not in networks:
        remarks.append("no oracle: probes are compared with a random initialisation's, relearning with nothing")
    if "original" not in networks:
        remarks.append("no original: kept heads are compared with the oracle's, and there is no drop-the-head baseline")
    return remarks
