"""What a run says of itself."""

from utils.report.run_record import dataset_name, method_name


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
