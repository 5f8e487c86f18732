import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_page import kept_record as written
from torch import nn

from models.heads import AttributeHeads
from utils.common.normalisation import HALF
from utils.page import kept_record as k


class TwoMaps(nn.Module):
    """8 x 8 maps, then 2 x 2 maps, then heads; the head "a" reads the mean of the first channel of the first maps."""

    def __init__(self):
        super().__init__()
        self.first, self.small = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 2, 1, stride=4, bias=False)
        self.heads = AttributeHeads(4, ["a", "b"])
        self.attributes = self.heads.attributes
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None])
            self.heads.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))

    def forward(self, images):
        maps = self.first(images)
        return self.heads(torch.cat([maps.mean((2, 3)), self.small(maps).mean((2, 3))], 1))


class Faces:
    """Four test images whose red part is bright on the left, and two training images."""

    attributes, normalisation = ("a", "b"), HALF
    labels = np.array([[0, 0], [1, 1], [0, 1], [1, 0], [0, 0], [1, 1]], np.uint8)
    image_ids = np.array([f"{i}.jpg" for i in range(6)])

    def rows(self, split):
        return np.arange(2, 6) if split == "test" else np.arange(2)

    def prepare(self, rows):
        return rows

    def batches(self, rows, size, device):
        images = torch.zeros(len(rows), 3, 8, 8)
        images[:, 0, :, :4] = 1.0
        yield images, None


def task(**more):
    return SimpleNamespace(forgotten=["a"], kept=["b"], device="cpu", **more)


def test_the_deepest_map_of_four_pixels_is_taken_and_no_hook_stays():
    model = TwoMaps()
    assert k.deepest_map(model, torch.zeros(1, 3, 8, 8)) == "first"
    assert k.deepest_map(model, torch.zeros(1, 3, 16, 16)) == "small"
    assert k.deepest_map(model, torch.zeros(1, 3, 2, 2)) is None
    assert not model.first._forward_hooks


def test_the_evidence_before_is_the_scale_of_what_is_left():
    before, after = TwoMaps(), TwoMaps()
    with torch.no_grad():
        after.heads.weight[0] *= 0.25  # a quarter of the gradient
    cams = k.compare_cams({"original": before, "unlearned": after}, Faces(), task(), faces=True)
    assert cams["layer"] == "first" and cams["ids"] == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert np.array_equal(np.array(cams["maps"]["original"]["a"])[0, 0], [1, 1, 1, 1, 0, 0, 0, 0])
    assert np.array_equal(np.array(cams["maps"]["unlearned"]["a"])[0, 0], [0.25] * 4 + [0] * 4)
    assert k.open_jpeg(cams["images"][0]).shape == (8, 8, 3)


def test_photographs_are_not_kept_but_drawn_faces_are(tmp_path):
    assert not k.is_drawn(tmp_path)
    (tmp_path / "made_by.json").write_text('{"drawing": 1}')
    assert k.is_drawn(tmp_path)
    network = SimpleNamespace(arguments={"epoch": 1}, sha256="a" * 64)
    for folder, kept in ((tmp_path, True), (tmp_path / "photographs", False)):
        one = task(network=network, data_options={"data_path": folder}, checkpoint_file=lambda kind: tmp_path / "none")
        k.keep_record(tmp_path / "out", one, {"original": TwoMaps(), "unlearned": TwoMaps()}, Faces(), None, "b" * 64)
        record = json.loads((tmp_path / "out" / "page.json").read_text())
        k.check_kept(record)
        assert (record["parent_sha256"], record["checkpoint_sha256"]) == ("a" * 64, "b" * 64)
        assert bool(record["cams"]["images"]) is record["drawn"] is kept and record["training"] == {"epoch": 1}


@pytest.mark.parametrize(
    "damage",
    [{"layer": 3}, {"images": ["bm8="]}, {"images": ["#"]}, {"maps": {}}, {"ids": []}, {"attributes": [None]}],
)
def test_a_damaged_record_is_refused(damage):
    record = written(("a", "b"))
    k.check_kept(record)
    with pytest.raises((ValueError, LookupError, TypeError)):
        k.check_kept(record | {"cams": record["cams"] | damage})
