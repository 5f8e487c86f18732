"""The ablations' settings and what they may edit."""

import torch
from plain_faces import PlainFaces

from benchmarks.erasure_ablations import allowed_edits, settings
from models import build_model
from utils.erasure import ErasureRecipe


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
