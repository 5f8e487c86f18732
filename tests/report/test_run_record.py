"""What a run says of itself."""

import pytest
from torch import nn

from utils.network.checkpoint import load_checkpoint
from utils.network.loading import LoadedNetwork
from utils.report.run_record import dataset_name, method_name, save_unlearned


def test_a_method_is_named_by_what_differs_from_the_published_one():
    published = {"rule": "balance", "importance": "gradcam", "layers": ["5"]}
    assert method_name(published) == "prune"
    assert method_name({**published, "rule": "no_balance", "layers": ["2"]}) == "prune, no balance, layers 2"
    assert method_name({**published, "importance": "gradient_activation"}) == "prune, gradient x activation"
    assert method_name({"rule": "random"}) == "control, random channels"
    assert method_name({"rule": "released"}) == "prune, as released"  # votes in the released text say no more
    assert method_name({"rule": "erase", "strength": 1.0}) == "erase"
    assert method_name({"rule": "erase", "strength": 0.5}) == "erase, strength 0.5"
    assert method_name({"rule": "erase", "strength": "auto"}) == "erase, strength auto"


def test_a_data_set_is_called_by_its_folder():
    assert dataset_name("data/celeba_5k/") == "celeba_5k"


@pytest.mark.parametrize(("file_heads", "kept"), [(("a", "b"), True), (("a", "b", "c"), False)])
def test_what_was_unlearned_of_picked_heads_does_not_claim_the_labels_of_all(tmp_path, file_heads, kept):
    made = {"training_part": "0" * 16, "split": "all"}
    model = nn.Linear(2, 2)
    network = LoadedNetwork(model, "resnet18", ("a", "b"), 4, "x.pth", "0" * 64, arguments=made, file_heads=file_heads)
    save_unlearned(tmp_path / "erased_a.pth", network, {"rule": "erase"}, {})
    found = load_checkpoint(tmp_path / "erased_a.pth").arguments
    assert ("training_part" in found) == kept and found["split"] == "all" and "training_part" in made
