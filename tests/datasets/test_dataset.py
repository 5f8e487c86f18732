"""Splits, choices, errors and batches of CelebA's layout, on folders of a few drawn images."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_celeba import LABELS, make_folder, open_small

from utils.common.errors import InputError
from utils.datasets.dataset import open_dataset
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import ATTRIBUTES, write_tables

REAL = Path(__file__).resolve().parents[3] / "shared" / "celeba_5k"


def test_released_split_is_the_first_three_quarters_of_the_rows(tmp_path):
    data = open_small(make_folder(tmp_path), split="released")
    assert data.rows("train").tolist() == [0, 1, 2, 3, 4, 5] and data.rows("test").tolist() == [6, 7]
    limited = open_small(tmp_path, split="released", limit=5)  # int(0.75 * 5) = 3
    assert limited.rows("train").tolist() == [0, 1, 2] and limited.rows("test").tolist() == [3, 4]


def test_official_split_follows_the_partition_file(tmp_path):
    folder = make_folder(tmp_path, partition=np.array([0, 2, 1, 0, 2, 0, 1, 0]))
    data = open_small(folder, split="official")
    assert {part: rows.tolist() for part, rows in data.splits.items()} == {
        "train": [0, 3, 5, 7],
        "valid": [2, 6],
        "test": [1, 4],
    }


def test_choices_by_name_follow_the_labels_in_table_order(tmp_path):
    data = open_small(make_folder(tmp_path, table="csv", extension="png"), ("Young", "Bald"))
    assert data.attributes == ("Young", "Bald") and data.labels.tolist() == LABELS[:, [2, 0]].tolist()
    assert data.positives("Bald").tolist() == [0, 2, 4, 5, 7]
    assert data.all_positive().tolist() == [4, 5, 7]
    assert data.rows("test").tolist() == list(range(8)) and len(data) == 8
    assert data.paths[2] == str(tmp_path.resolve() / "img_align_celeba" / "000003.png")


def test_an_attribute_without_positives_in_a_part_is_an_error_when_asked_for(tmp_path):
    data = open_small(make_folder(tmp_path), ("Young",), split="released", limit=4)
    assert data.positives("Young", "test").tolist() == [3]
    with pytest.raises(InputError, match="none of the 3 train images has Young"):
        data.positives("Young")
    with pytest.raises(KeyError, match="Bald"):
        data.positives("Bald")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ("Smilling",)}, r"unknown attribute 'Smilling' .* did you mean Smiling\?"),
        ({"attributes": ("Qqq",)}, r"unknown attribute 'Qqq' .* choose among Bald, Smiling, Young"),
        ({"attributes": ("Bald", "Bald")}, "all different, got Bald Bald"),
        ({"attributes": ()}, "at least one"),
        ({"limit": 0}, "at least 1, got 16 and 0"),
        ({"split": "offical"}, "unknown split 'offical'"),
        ({"split": "official"}, "no partition file"),
        ({"split": "released", "limit": 1}, "no train images"),
    ],
)
def test_what_cannot_be_asked_of_a_folder_is_one_clear_line(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        open_small(make_folder(tmp_path), **options)


def test_a_split_without_test_images_is_an_error(tmp_path):
    folder = make_folder(tmp_path, partition=np.array([0] * 7 + [1]))
    with pytest.raises(InputError, match="no test images: the split 'official' of 8 images"):
        open_small(folder, split="official")


def test_missing_folder_table_and_image_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*nowhere: .*make_synthetic_celeba"):
        open_small(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no attribute table .list_attr_celeba.txt or list_attr_celeba.csv"):
        open_small(tmp_path)
    folder = make_folder(tmp_path / "data")
    (folder / "img_align_celeba").rename(folder / "pictures")
    with pytest.raises(InputError, match="no image folder img_align_celeba/"):
        open_small(folder)


def test_missing_images_are_counted_and_left_out_only_on_request(tmp_path):
    folder, notes = make_folder(tmp_path), []
    for name in ("000002.jpg", "000005.jpg"):
        (folder / "img_align_celeba" / name).unlink()
    with pytest.raises(InputError, match=r"2 of 8 images are missing .* \(first: 000002.jpg\).*--allow_missing"):
        open_small(folder)
    data = open_small(folder, allow_missing=True, note=notes.append)
    assert len(notes) == 1 and "using 6 of 8 table rows: 2 have no image" in notes[0]
    assert data.image_ids.tolist() == [f"00000{k}.jpg" for k in (1, 3, 4, 6, 7, 8)]
    assert data.labels.tolist() == LABELS[[0, 2, 3, 5, 6, 7], :2].tolist()
    assert len(open_small(folder, limit=1)) == 1  # rows beyond the limit need no image


def test_names_in_another_form_of_unicode_with_blanks_or_of_no_encoding_are_opened(tmp_path):
    folder = make_folder(tmp_path, labels=LABELS[:3])
    names = ["cafe\u0301 1.jpg", "b c.jpg", os.fsdecode(b"caf\xe9.jpg")]
    for row, name in enumerate(names):
        (folder / f"img_align_celeba/00000{row + 1}.jpg").rename(folder / "img_align_celeba" / name)
    rows = "".join(f"{name},{' ,'.join(map(str, row))}\n" for name, row in zip(names, LABELS.tolist(), strict=False))
    (folder / "list_attr_celeba.txt").unlink()
    table = f"image_id,Bald,Smiling,Young\n{rows}".replace("e\u0301", "\u00e9")
    (folder / "list_attr_celeba.csv").write_bytes(os.fsencode(table))
    (folder / "list_eval_partition.txt").write_bytes(b"\xef\xbb\xbf" + os.fsencode("".join(f"{n} 0\n" for n in names)))
    data = open_small(folder)
    assert data.image_ids.tolist() == ["caf\u00e9 1.jpg", *names[1:]] and data.images([0, 1, 2]).shape == (3, 16, 16, 3)
    assert [os.path.basename(path) for path in data.paths.tolist()] == names
    with pytest.raises(InputError, match="no test images"):
        open_small(folder, split="official")


def test_a_part_without_an_attribute_that_others_have_looks_sorted(tmp_path):
    labels = LABELS[np.argsort(LABELS[:, 0])]
    with pytest.raises(InputError, match=r"train images has Bald: shuffle .* \(it looks sorted\), use more"):
        open_small(make_folder(tmp_path, labels=labels), ("Bald",), split="released", limit=4).positives("Bald")


def test_images_of_another_extension_are_named(tmp_path):
    folder = make_folder(tmp_path, labels=LABELS[:1])
    (folder / "img_align_celeba/000001.jpg").rename(folder / "img_align_celeba/000001.png")
    with pytest.raises(InputError, match="first: 000001.jpg; the folder holds files such as 000001.png"):
        open_small(folder, allow_missing=True)


@pytest.mark.parametrize("images", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
@pytest.mark.parametrize("sub", ["", "celeba"])
def test_torchvisions_sub_folder_and_a_doubled_image_folder_are_found(tmp_path, sub, images):
    make_folder(tmp_path / sub, images=images)
    assert open_small(tmp_path).images([0, 1]).shape == (2, 16, 16, 3)


def test_a_truncated_image_is_named_when_it_is_decoded(tmp_path):
    folder = make_folder(tmp_path)
    broken = folder / "img_align_celeba" / "000003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    for options in ({}, {"exact_resize": True}, {"cache_path": tmp_path / "cache"}):
        data = open_small(folder, **options)
        data.images([0, 1])
        with pytest.raises(InputError, match=r"unreadable image .*000003.jpg \(.+\): fetch it again"):
            list(data.batches(data.rows("train"), 4, "cpu"))
    with pytest.raises(InputError, match="000003.jpg"):
        data.prepare(data.rows("train"), progress=False)


def test_opening_takes_little_memory_for_each_row(tmp_path):
    count = 3000
    ids = np.array([f"{row + 1:06d}.jpg" for row in range(count)])
    write_tables(tmp_path, AttributeTable(ids, ATTRIBUTES, np.ones((count, len(ATTRIBUTES)), np.uint8)))
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "face.jpg")
    for name in ids.tolist():
        os.symlink(tmp_path / "face.jpg", images / name)
    tracemalloc.start()
    try:
        data = open_dataset(tmp_path, ["Bald", "Smiling"], img_size=8, cache_path=tmp_path / "cache")
        list(data.batches([0, count - 1], 2, "cpu"))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1000 * count and peak < 60e6


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the first 5,000 images of CelebA beside the repository")
def test_real_faces_open_with_their_known_rates():
    data = open_small(REAL, ("Bald", "No_Beard"))
    assert len(data) == 5000 and data.labels.mean(0) == pytest.approx([0.023, 0.83], abs=0.01)
    assert data.images([0, 4999]).std() > 20
