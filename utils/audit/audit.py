"""The audit: every read-out of the original, the unlearned network and what they are compared with, and the verdict.

The audit measures what these probes, attacks and draws find. What they do not find may still be there: nothing here
certifies that an attribute is gone.
"""

from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from utils.audit.comparison import compare_network, distance_to_oracle, drop_head_logits, kept_label_scores
from utils.audit.features import extract_features
from utils.audit.probes import one_thread
from utils.audit.readouts import read_out_heads, read_out_membership, read_out_network, score_figure
from utils.audit.setup import set_up_audit
from utils.common import distributed
from utils.common.errors import InputError
from utils.common.run import Stopwatch, peak_rss_bytes

#: the networks an audit knows, in the order in which they are read out and shown
NETWORKS = ("oracle", "original", "unlearned", "random")
DROP_HEAD = "drop_head"


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
        options: `level`, `seed`, `device`, `batch_size` and `resamples` of `utils.audit.setup.set_up_audit`
    Returns: JSON-ready dictionary. Equal for equal arguments on the same machine, but for "timing"
    Raises: InputError for an unknown attribute, level or network, for heads that the data has no labels for, or a
        network whose outputs are not finite
    """
    setup = set_up_audit(data, target, **options)
    _check_networks(networks, data)
    if distributed.is_main():
        result = _run_audit(networks, setup, forgotten, stages, progress)
    else:
        result = _share_passes(networks, setup, stages)
    return distributed.from_first(result)


def _share_passes(networks, setup, stages):
    """What processes beside the first do: their part of each pass over the images."""
    for name in NETWORKS:
        for rows in (setup.train, setup.test) if name in networks else ():
            options = {"stages": stages, "batch_size": setup.batch_size, "device": setup.device}
            extract_features(networks[name], setup.data, rows, **options)


def _run_audit(networks, setup, forgotten, stages, progress):
    data, target, watch = setup.data, setup.target, Stopwatch(setup.device)
    kept = [name for name in data.attributes if name != target and name not in forgotten]
    readouts = _read_out_networks(networks, setup, kept, watch, stages, progress)
    with watch("comparisons"), one_thread():
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
        "stages": list(readouts["unlearned"].probes),
        "nets": {name: own.record for name, own in readouts.items()},
        "kept_labels": _kept_labels(setup, kept),
        "verdict": readouts["unlearned"].record["verdict"],
        "notes": _remarks(networks, setup),
        "timing": {"seconds": watch.seconds, "peak_rss_bytes": peak_rss_bytes()},
    }


def _check_networks(networks, data):
    unknown = [name for name in networks if name not in NETWORKS]
    if unknown or "unlearned" not in networks:
        known, given = ", ".join(NETWORKS), ", ".join(networks)
        raise InputError(f"an audit needs a network 'unlearned' and knows {known}: got {given}")
    for name, network in networks.items():
        missing = [attribute for attribute in network.attributes if attribute not in data.attributes]
        if missing:
            raise InputError(f"the {name} network has heads without labels in the data opened: {', '.join(missing)}")


def _read_out_networks(networks, setup, kept, watch, stages, progress):
    """{name: NetworkReadouts} of the networks and of the original with its head dropped."""
    readouts, names = {}, [name for name in NETWORKS if name in networks]
    for name in tqdm(names, desc="audit", unit="network", disable=None if progress else True):
        own = read_out_network(name, networks[name], setup, watch, stages=stages, progress=progress)
        own.record["distance"] = None
        if name != "oracle" and "oracle" in readouts:  # which was read out first
            with watch("comparisons"), one_thread():
                oracle = readouts["oracle"].test
                own.record["distance"] = distance_to_oracle(own.test, oracle, kept, setup.resamples, setup.seed)
        own.train.stages.clear()  # the features are the largest thing here: the oracle's are needed again, on test
        if name != "oracle":
            own.test.stages.clear()
        readouts[name] = own
        if name == "original" and setup.target in own.test.attributes:
            with watch("heads"):
                readouts[DROP_HEAD] = _drop_head(own, setup)
    return readouts


def _drop_head(original, setup):
    """The original's read-outs with the target's head at its base rate; probes and relearning stay as they are."""
    column = original.test.attributes.index(setup.target)
    rate = setup.data.labels[setup.data.rows("train"), setup.target_column].mean()
    train, test = (
        replace(part, logits=drop_head_logits(part.logits, column, rate)) for part in (original.train, original.test)
    )
    dropped = replace(original, train=train, test=test, record=dict(original.record))
    read_out_heads(dropped, setup)
    read_out_membership(dropped, setup)
    return dropped


def _kept_labels(setup, kept):
    """The target from the true kept labels alone: AUC on test of what no method can go below."""
    train, columns = setup.data.labels[setup.data.rows("train")], setup.columns(kept)
    scores = kept_label_scores(train[:, columns], train[:, setup.target_column], setup.test_labels[:, columns])
    return score_figure(scores, setup)


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
