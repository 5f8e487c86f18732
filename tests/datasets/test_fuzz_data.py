"""Whatever stands in tables, images, caches and archives is read or refused in one line; nothing else is written."""

import io
import zipfile

import numpy as np
import pytest
from fuzz_rules import ends_in_one_line, fuzz
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.unpacking import unpack_images
from utils.common.errors import InputError
from utils.datasets.cache import ImageCache
from utils.datasets.decoding import decode, load_resized, load_rgb
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import read_attribute_table, read_partition

IDS = np.array(["000001.jpg", "000002.jpg", "b c.jpg"])
OFFICIAL = b"3\nBald Young\n000001.jpg -1  1\n000002.jpg  1 -1\nb c.jpg  1  1\n"
COMMAS = b'\xef\xbb\xbfimage_id,Bald,Young\r\n"000001.jpg",-1,1\r\n000002.jpg,1.0,-1\r\nb c.jpg,1,1\r\n'
WIDE = "a title\nimage_id;Bald;Young\n000001.jpg;0;1\n000002.jpg;1;0\n".encode("utf-16")
PARTS = b"000001.jpg 0\n000002.jpg 1\nb c.jpg 2\n"

edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)
signs = [bytes([sign]) for sign in b"\0\n\r\t ,;\"'\xff"]
pieces = st.sampled_from([*signs, b"-1", b"1.0", b"nan", b"../", b"\x1b[2J", b"\n\n", b",,", b"9" * 40, b"Bald"])


def changed(data, places, cut, insert=None):
    """`data` with some bytes replaced, cut off at a share of its length, and a piece inserted somewhere."""
    data = bytearray(data)
    for share, byte in places:
        data[int(share * len(data))] = byte
    if insert is not None:
        share, piece = insert
        place = int(share * len(data))
        data[place:place] = piece
    return bytes(data[: int(cut * len(data)) if cut < 1 else None])


cuts = st.one_of(st.just(1.0), st.floats(0, 1))
inserts = st.one_of(st.none(), st.tuples(st.floats(0, 1), pieces))


@fuzz(0.1)
@given(start=st.sampled_from([OFFICIAL, COMMAS, WIDE]), csv=st.booleans(), places=edits, cut=cuts, insert=inserts)
def test_a_damaged_table_is_read_or_refused(tmp_path, start, csv, places, cut, insert):
    for form in ("txt", "csv"):
        (tmp_path / f"list_attr_celeba.{form}").unlink(missing_ok=True)
    (tmp_path / f"list_attr_celeba.{'csv' if csv else 'txt'}").write_bytes(changed(start, places, cut, insert))
    table = ends_in_one_line(lambda: read_attribute_table(tmp_path))
    if isinstance(table, AttributeTable):
        assert len(table.image_ids) and set(np.unique(table.labels)) <= {0, 1}
        assert not any("/" in name or not name for name in table.image_ids.tolist())


@fuzz(0.05)
@given(text=st.one_of(st.binary(max_size=200), st.text('ab1-0 ,;\t\n\r".é', max_size=80).map(str.encode)))
def test_any_bytes_are_a_table_or_refused(tmp_path, text):
    (tmp_path / "list_attr_celeba.csv").write_bytes(text)
    (tmp_path / "list_eval_partition.txt").write_bytes(text)
    ends_in_one_line(lambda: read_attribute_table(tmp_path))
    ends_in_one_line(lambda: read_partition(tmp_path, IDS))


@fuzz(0.05)
@given(places=edits, cut=cuts, insert=inserts)
def test_a_damaged_partition_is_read_or_refused(tmp_path, places, cut, insert):
    (tmp_path / "list_eval_partition.txt").write_bytes(changed(PARTS, places, cut, insert))
    parts = ends_in_one_line(lambda: read_partition(tmp_path, IDS))
    assert isinstance(parts, InputError) or set(parts.tolist()) <= {0, 1, 2}


def encoded(kind):
    random = np.random.default_rng(0)
    content, options = (
        io.BytesIO(),
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
    )
    options = options if kind in ("JPEG", "PNG", "WEBP") else {}
    Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)).save(content, kind, **options)
    return content.getvalue()


plain = io.BytesIO()
Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)).save(plain, "JPEG")
PICTURES = [plain.getvalue(), *(encoded(kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"))]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it passes over
@fuzz(0.15)
@given(start=st.sampled_from([PICTURES[0], *PICTURES]), places=edits, cut=cuts)
def test_a_damaged_picture_is_decoded_or_refused(tmp_path, start, places, cut):
    (tmp_path / "a.jpg").write_bytes(changed(start, places, cut))
    for read in (decode, load_rgb, lambda path: load_resized(path, 8)):
        ends_in_one_line(lambda read=read: read(tmp_path / "a.jpg"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Paths of five images, what they decode to, and the bytes of their whole cache."""
    folder = tmp_path_factory.mktemp("images")
    paths = [str(folder / f"{row}.png") for row in range(5)]
    for row, path in enumerate(paths):
        Image.new("RGB", (5, 5), (row, 50 * row, 9)).save(path)
    cache = ImageCache(paths, 4, folder / "cache")
    cache.fill(range(5))
    return paths, np.stack([load_resized(path, 4) for path in paths]), cache.file


@fuzz(0.05)
@given(places=edits, cut=cuts, insert=inserts)
def test_a_damaged_cache_gives_the_images_all_the_same(images, tmp_path, places, cut, insert):
    paths, expected, whole = images
    file = tmp_path / whole.name
    file.write_bytes(changed(whole.read_bytes(), places, cut, insert))
    out = np.empty_like(expected)
    ends_in_one_line(lambda: ImageCache(paths, 4, tmp_path, note=lambda line: None).read(np.arange(5), out), tmp_path)
    assert np.array_equal(out, expected)


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("img_align_celeba/a.jpg", PICTURES[0])
        packed.writestr("img_align_celeba/b.jpg", bytes(500))
    return content.getvalue()


ARCHIVE = archive()


@fuzz(0.05)
@given(places=edits, cut=cuts, insert=inserts)
def test_a_damaged_archive_is_unpacked_or_refused(tmp_path, places, cut, insert):
    (tmp_path / "img.zip").write_bytes(changed(ARCHIVE, places, cut, insert))
    target = tmp_path / "images"
    target.mkdir(exist_ok=True)
    for file in target.iterdir():
        file.unlink()
    ends_in_one_line(lambda: unpack_images(tmp_path / "img.zip", target), target)
