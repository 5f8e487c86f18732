"""What the attacks share that run a network: hooks for the length of a block, and a changed copy probed anew."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from utils.probes.attack import at_every_stage
from utils.probes.features import LAST, extract_features
from utils.probes.fitting import rarer_class, standardised
from utils.probes.linear import fit_logistic

#: scikit-learn's C of the probes of changed copies: one for all networks, as choosing it takes most of a probe's time
PROBE_C = 1e-2


@contextmanager
def hooked(model, hooks):
    """Forward hooks inside, taken off at the end, after an error too.

    Args: model: the network; hooks: {name of a module: hook of (module, inputs, output)}, which may give another output
    """
    modules, handles = dict(model.named_modules()), []
    try:
        for name, hook in hooks.items():
            handles.append(modules[name].register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_anew(subject, model, stages=None, maps=False):
    """The subject with another network in its place, whose features are taken from the same images.

    Args: subject: `utils.probes.attack.Subject`; model: a changed copy of its network, or itself with hooks
        stages: names of modules; None: the stages that the subject has; maps: whether to keep the maps, too
    """
    setup = subject.setup
    stages = [stage for stage in subject.train.stages if stage != LAST] if stages is None else stages
    options = {"stages": stages, "maps": maps, "batch_size": setup.batch_size, "device": setup.device}
    parts = [extract_features(model, setup.data, rows, progress=False, **options) for rows in (setup.train, setup.test)]
    return replace(subject, model=model, train=parts[0], test=parts[1])


def probe_linearly(subject):
    """Scores of a linear probe of each stage of a Subject: {stage: (M,) scores, or None if there is nothing to fit}."""
    return at_every_stage(_linear_scores, subject)


def _linear_scores(train, labels, test, seed):
    if not rarer_class(labels):
        return None
    train, test = standardised(train, test)
    return fit_logistic(train, np.asarray(labels).astype(int), PROBE_C).decision_function(test)
