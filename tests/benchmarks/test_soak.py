"""Nothing is left behind by rounds of steps 2 and 3, and what is left would be seen."""

import copy
import threading

import pytest
import torch
from plain_faces import PlainFaces, plain_net

from benchmarks.soak import growth, left_over, soak
from utils.erasure.erasure import ErasureSettings, erase
from utils.graph import selection
from utils.graph.dataflow import trace_dataflow
from utils.graph.essential_graph import build_graph
from utils.graph.importance import score_network
from utils.pruning.channels import zero_channels


def test_twenty_rounds_of_scoring_pruning_and_erasing_leave_nothing_behind():
    net, data = plain_net().eval(), PlainFaces(n=100, train=80)
    flow, names = trace_dataflow(net), net.attributes

    def work():
        images, labels = next(data.batches(range(40), 40, "cpu"))
        layers = ["stem"]
        scores = score_network(net, layers, flow.links_between(layers), [(images, labels.bool())])
        essential = selection.essential_sets(scores.channels, names, 0.5)
        prune = selection.choose_nodes("balance", essential, scores.channels, names[:1], net)
        build_graph(scores, essential, prune, names[:1], "balance", {}).to_json()
        zero_channels(copy.deepcopy(net), {"stem": [0]}, flow.batch_norm)
        erase(copy.deepcopy(net), data, names[:1], ErasureSettings(images=64, amp="off"), progress=False)

    held = soak(work, 20)
    assert left_over(held) == {"threads": 0, "files": 0, "hooks": 0}
    assert growth(held) < 5e6


def test_what_is_left_is_counted(tmp_path):
    kept, stop, net = [], threading.Event(), torch.nn.Linear(2, 2)

    def leave_something():
        kept.append((torch.ones(500_000), open(tmp_path / "file", "wb")))
        net.register_forward_hook(lambda *_: None)
        thread = threading.Thread(target=stop.wait)
        thread.start()

    try:
        held = soak(leave_something, 4)
    finally:
        stop.set()
        [file.close() for _, file in kept]
    if not held["rss_bytes"][0]:
        pytest.skip("this system does not say what a process holds")
    assert left_over(held) == {"threads": 3, "files": 3, "hooks": 3} and 3.5e6 < growth(held) < 8e6
