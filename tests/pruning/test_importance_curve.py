import csv
import io

import pytest
import torch

from models import build_model
from utils.common import processes
from utils.common.errors import InputError
from utils.graph.dataflow import trace_dataflow
from utils.pruning import importance_curve as curve
from utils.pruning.importance_curve import channel_order, curve_csv, importance_curve


def test_orders_sort_by_score_with_ties_to_the_lower_index():
    scores = torch.tensor([1.0, 3.0, 3.0, 0.0])
    assert channel_order("top", scores, 0) == [1, 2, 0, 3]
    assert channel_order("lowest", scores, 0) == [3, 0, 1, 2]
    assert sorted(channel_order("random", scores, 7)) == [0, 1, 2, 3]
    assert channel_order("random", torch.zeros(50), 7) == channel_order("random", torch.zeros(50), 7)


def test_the_curve_prunes_more_and_more_of_a_copy():
    model = build_model("customresnet", ["a", "b"])
    weight = model.block6_2.conv1.weight
    before = weight.detach().clone()
    seen = []

    def evaluate(net):
        zero = (net.block6_2.conv1.weight.flatten(1).abs().sum(1) == 0).sum().item()
        seen.append(zero)
        return {name: {"tpr": 1 - zero / 64, "auc": 0.5} for name in ("a", "b")}

    scores = {"block6_2.conv1": torch.arange(64.0)}
    rows = importance_curve(model, trace_dataflow(model), scores, evaluate, step=0.25)
    assert seen == [0] + [16, 32, 48, 64] * 3
    assert torch.equal(weight, before)
    assert len(rows) == 3 * 5 * 2
    assert rows[0] == {"order": "top", "share_pruned": 0.0, "attribute": "a", "tpr": 1.0, "auc": 0.5}
    lines = curve_csv(rows).splitlines()
    assert lines[0] == "order,share_pruned,attribute,tpr,auc" and len(lines) == 31


@pytest.mark.parametrize(("rank", "hidden"), [(0, None), (1, True)])
def test_the_first_process_alone_shows_a_bar(rank, hidden, monkeypatch):
    seen, bar = [], curve.tqdm
    monkeypatch.setattr(processes, "joined", processes.Place(rank, 2))
    monkeypatch.setattr(curve, "tqdm", lambda **how: seen.append(how["disable"]) or bar(**how))
    model = build_model("customresnet", ["a", "b"])
    scores = {"block6_2.conv1": torch.arange(64.0)}
    importance_curve(model, trace_dataflow(model), scores, lambda _: {}, step=1.0)
    assert seen == [hidden]


def test_a_name_is_no_formula_in_a_spreadsheet():
    row = {"order": "top", "share_pruned": 0.0, "tpr": 0.5, "auc": None}
    text = curve_csv([{**row, "attribute": name} for name in ("=1+1", "+1", "-1", "@SUM(A1)", "'s", "Bald")])
    names = [line["attribute"] for line in csv.DictReader(io.StringIO(text))]
    assert names == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "''s",
        "Bald",
    ]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, torch.OutOfMemoryError])
def test_a_curve_that_is_interrupted_leaves_the_network_as_it_was(raised):
    model, seen = build_model("customresnet", ["a", "b"]).to(memory_format=torch.channels_last), []
    before = {name: (value.clone(), value.stride()) for name, value in model.state_dict().items()}

    def evaluate(net):
        seen.append(net)
        if len(seen) == 3:
            raise raised("stopped")
        return {name: {"tpr": 1.0, "auc": 0.5} for name in ("a", "b")}

    with pytest.raises(raised):
        importance_curve(model, trace_dataflow(model), {"block6_2.conv1": torch.arange(64.0)}, evaluate, step=0.25)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name


def test_a_curve_is_read_as_it_was_written(tmp_path):
    rows = [
        {"order": order, "share_pruned": share, "attribute": name, "tpr": 0.25, "auc": None if share else 0.75}
        for order in curve.ORDERS
        for share in (0.0, 0.5)
        for name in ("=1", "NA", "7", "'s")
    ]
    (tmp_path / "a.csv").write_text(curve_csv(rows))
    assert curve.read_curve(tmp_path / "a.csv") == rows


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "order,share_pruned,attribute,tpr,auc\n", "order,share_pruned,attribute,tpr,auc\ntop,2,a,1,1\n"],
)
def test_another_file_is_no_curve(text, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="a.csv is no importance curve .*: name an importance_curve.csv of step 2"):
        curve.read_curve(tmp_path / "a.csv")
    with pytest.raises(InputError, match="run step 2 with --importance_curve first"):
        curve.read_curve(tmp_path / "b.csv")
