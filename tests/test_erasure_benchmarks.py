"""The ablations' settings, what they may edit, and the tables of their lines."""

import torch
from plain_faces import PlainFaces

from benchmarks.erasure_ablations import allowed_edits, settings
from models import build_model
from results.erasure_tables import erasure_tables
from utils.erasure import ErasureRecipe

FRAME = {"command": "python -m x", "hardware": "2 cores", "versions": {"torch": "2.6"}, "commit": "abc", "date": "2026"}


def test_each_ablation_changes_one_thing():
    base = ErasureRecipe(seed=3)
    for name, (recipe, restriction) in settings(base).items():
        changed = [field for field in vars(base) if getattr(recipe, field) != getattr(base, field)]
        assert len(changed) + (restriction is not None) == (name != "as it is"), name


def test_the_last_stage_alone_and_the_essential_nodes_are_what_may_be_edited():
    torch.manual_seed(0)
    data, model = PlainFaces(n=200, train=150), build_model("resnet18", ("Bald", "Smiling", "Young"))
    data.images = data.images.repeat(1, 1, 8, 8)
    data.positives = lambda name, part: [row for row in range(150) if data.labels[row, data.attributes.index(name)]]
    last = allowed_edits("last stage only", model, data, ["Bald"], "cpu")
    assert {name: bool(mask.all()) for name, mask in last.items()} == {name: "layer4" in name for name in last}
    assert allowed_edits(None, model, data, ["Bald"], "cpu") is None


def test_a_table_of_ablations_has_a_row_a_setting_with_its_gaps_and_its_word():
    gap = {"layer1": {"value": -0.1}, "features": {"value": 0.03}}
    line = {"what": "erasure ablation", "run": "r_s0", "setting": "as it is", "forgotten": ["Bald"], "seed": 0}
    line |= {"targets": {"Bald": {"gaps": gap, "verdict": {"word": "ERASED"}}}, "kept_loss": 0.001, "seconds": 3.21}
    other = line | {"seed": 1, "kept_loss": 0.003}
    table = erasure_tables([FRAME | line, FRAME | other])
    assert "| r, Bald | as it is | -0.100 ± 0.000 | 0.002 ± 0.001 | ERASED | 3.2 |" in table


def test_a_table_of_costs_says_the_share_and_one_of_sizes_the_time_an_image():
    cost = {"run": "r", "forgotten": ["Bald"], "erase_images": 1536, "erase_seconds": [3.0, 2.0, 4.0]}
    cost |= {"epoch_seconds": [9.0, 8.0, 10.0], "oracle_epochs": 20, "ratio": 3 / 180, "seed": 0}
    assert "| r, Bald | 1,536 | 3.00 | 9.00 | 20 epochs | 1.67 % | 2 cores |" in erasure_tables([FRAME | cost])
    case = {"what": "erasure scaling", "model": "resnet18", "heads": 40, "images": 768, "train_images": 4500}
    case |= {"seconds": 1.536, "peak_rss_bytes": 2.5e9}
    assert "| resnet18 | 40 | 768 | 4,500 | 1.54 | 2.00 | 2.50 |" in erasure_tables([FRAME | case])
    assert erasure_tables([]) is None
