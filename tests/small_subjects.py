"""Networks under attack that are small enough to be worked out by hand."""

import torch
from plain_faces import PlainFaces, PlainNet

from utils.evaluation.metrics import auc
from utils.probes.attack import Subject
from utils.probes.features import extract_features
from utils.probes.setup import set_up_audit

STAGES = ("stem", "top")


def subject_of(model, data, *, original=None, level="quick", seed=0, name="unlearned", forgotten=()):
    """A Subject of a network with modules `stem` and `top`; `original`: a network, that it is compared with."""
    setup = set_up_audit(data, "Bald", level=level, seed=seed, forgotten=forgotten)
    parts = [extract_features(model, data, rows, stages=STAGES, maps=True) for rows in (setup.train, setup.test)]
    first = None if original is None else subject_of(original, data, level=level, seed=seed, name="original")
    return Subject(name, model, *parts, setup, first)


def aucs(attack, subject):
    """{place: AUC of an attack's scores}."""
    return {place: auc(scores, subject.setup.y_test) for place, scores in attack.run(subject).items()}


class ParityNet(PlainNet):
    """`PlainNet` with a ReLU behind `top`."""

    def forward(self, images):
        return self.heads(torch.relu(self.top(self.stem(images))).mean((2, 3)))


def parity_faces():
    """`PlainFaces` in which "Bald" is whether one or three colour channels are bright: no single one tells."""
    data = PlainFaces(n=4000, train=1500, noise=0.05)
    data.labels[:, 0] = data.labels.sum(1) % 2
    return data


@torch.no_grad()
def parity_net(mixed=((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))):
    """Reads the parity of the three channels in `top`: relu(s) - 2 relu(s - 1) + 2 relu(s - 2) of their sum s.

    mixed: (3, 3) what `stem` makes of the three channels
    """
    network = ParityNet()
    network.stem.weight.copy_(torch.as_tensor(mixed)[:, :, None, None])
    network.stem.bias.zero_()
    network.top.weight.fill_(1)
    network.top.bias.copy_(torch.tensor([0.0, -1, -2]))
    network.heads.weight.copy_(10 * torch.tensor([[1.0, -2, 2], [0, 0, 0], [0, 0, 0]]))
    network.heads.bias.fill_(-5)
    return network


def state_of(model):
    """All that an attack must leave as it is."""
    values = {name: value.clone() for name, value in model.state_dict().items()}
    modules = [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()
    ]
    return values, modules, [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]


def assert_unchanged(model, before):
    """Fail if a network differs from its `state_of` before."""
    after = state_of(model)
    assert after[1:] == before[1:]
    assert all(torch.equal(value, before[0][name]) for name, value in after[0].items())
