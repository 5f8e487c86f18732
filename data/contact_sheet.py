"""One picture that shows, for every label of a data set, some images that have it.

python data/contact_sheet.py --data_path data/synthetic_celeba --out faces.png
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments
from utils.common.errors import InputError
from utils.common.paths import check_outputs, write_atomically
from utils.layouts.reading import read_folder, reading_options

FACE, PHOTO = (57, 70), (94, 70)  # size of a small image in CelebA's layout, in any other
GAP, WIDTH, LABEL, HEADER, COLUMNS = 2, 600, 120, 8, 2
KINDS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
INK, PAPER, RULE = (34, 38, 46), (255, 255, 255), (226, 229, 234)


def draw_contact_sheet(folder, out_png, **reading):
    """Draw a sheet with as many images of each label as a line holds, about 1200 pixels wide.

    Args:
        folder: in any layout that step 1 reads
        out_png: picture to write; .png (a palette of 224 colours, to stay small), .jpg or .jpeg
        reading: of `utils.layouts.reading.reading_options`
    Returns: Path of the picture
    Raises: InputError where the folder, one of the images or the file name will not do
    """
    out, table = check_name(out_png), read_folder(folder, **reading).located()
    size = FACE if table.layout == "celeba" else PHOTO
    count = (WIDTH - LABEL) // (size[0] + GAP)
    chosen = _choose_images(table, count)
    cell = (LABEL + count * (size[0] + GAP) + 8, size[1] + 3)
    lines = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * cell[0], 2 * HEADER + lines * cell[1]), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (name, paths) in enumerate(chosen.items()):
        left, top = number // lines * cell[0] + 8, HEADER + number % lines * cell[1]
        pen.line([(left, top + cell[1] - 2), (left + cell[0] - 16, top + cell[1] - 2)], fill=RULE)
        words = "\n".join(_wrap(name.replace("_", " ")))
        pen.multiline_text((left, top + size[1] / 2), words, fill=INK, font=font, anchor="lm", spacing=3)
        for place, path in enumerate(paths):
            thumb = ImageOps.fit(_open_image(path), size, Image.Resampling.LANCZOS)
            sheet.paste(thumb, (left + LABEL - 8 + place * (size[0] + GAP), top))
    content = io.BytesIO()
    if out.suffix.lower() == ".png":
        sheet.quantize(224, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    else:
        sheet.save(content, "JPEG", quality=86)
    try:
        return write_atomically(out, content.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}: choose another --contact_sheet") from None


def check_name(path, folder=None):
    """Path of a picture, looked at before any work.

    Args: folder: of the data set that is to be drawn, whose images are left alone
    Raises: InputError if its name does not say the kind, a folder has it, it can't be written or lies among the images
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or path.is_dir():
        raise InputError(f"contact sheet {path}: expected a name that ends in .png, .jpg or .jpeg")
    if folder is not None and Path(folder).resolve() in path.resolve().parent.parents:
        raise InputError(f"--contact_sheet {path} lies among the images of {folder}: name another file")
    check_outputs({}, contact_sheet=path)
    return path


def _choose_images(table, count):
    """{label: up to `count` paths of images with it}: first sharp faces, or images with few labels."""
    arguments.check_names(table.names)
    rows, having_all, chosen = np.arange(len(table.image_ids)), table.labels == 1, {}
    last = having_all[:, table.names.index("Blurry")] if "Blurry" in table.names else having_all.sum(axis=1)
    files = table.image_ids if table.files is None else np.where(table.files == "", table.image_ids, table.files)
    for number, name in enumerate(table.names):
        having = np.roll(rows, -(number * len(rows) // len(table.names)))
        having = having[having_all[having, number]]
        having = having[np.argsort(last[having], kind="stable")]  # the order stays within equal ones
        chosen[name] = [table.folder / file for file in files[having[:count]].tolist()]
    return chosen


def _open_image(path):
    """An image in RGB, upright; of the formats that data sets mostly have, and without PyTorch."""
    try:
        if not Path(path).is_file():  # a pipe would wait for ever
            raise FileNotFoundError("no such file")
        with Image.open(path, formats=KINDS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"none of {', '.join(KINDS)}, or damaged" if path.is_file() else error
        raise InputError(f"unreadable image {path} ({reason}): draw another folder") from None


def _wrap(text):
    """Two lines at most: the first holds as many words as fit."""
    if len(text) <= 15:
        return [text]
    cut = text.rfind(" ", 0, 16)
    return [text[:cut], text[cut + 1 :]] if cut > 0 else [text[:15], text[15:]]


def get_args_parser():
    """The flags of the sheet."""
    parser = arguments.Parser(description=__doc__, prog="contact_sheet")
    text = "folder in any layout that step 1 reads"
    parser.add_argument("--data_path", default="data/synthetic_celeba", metavar="DIR", help=text)
    arguments.add_reading_arguments(parser.add_argument)
    parser.add_argument("--out", default="faces.png", metavar="FILE", help="picture to write: .png or .jpg")
    return parser


def main(args):
    """Draw the sheet."""
    check_outputs(vars(args), out=args.out)
    print(f"wrote {draw_contact_sheet(args.data_path, args.out, **reading_options(**vars(args)))}")


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
