"""What the attacks share that run a network: hooks for the length of a block, and a changed copy probed anew."""

from contextlib import contextmanager
from dataclasses import replace

from utils.probes.features import LAST, extract_features


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
        stages: names of modules; None: the stages that the subject has; maps: as of `extract_features`
    """
    setup = subject.setup
    stages = [stage for stage in subject.train.stages if stage != LAST] if stages is None else stages
    options = {"stages": stages, "maps": maps, "batch_size": setup.batch_size, "device": setup.device}
    parts = [extract_features(model, setup.data, rows, progress=False, **options) for rows in (setup.train, setup.test)]
    return replace(subject, model=model, train=parts[0], test=parts[1])
