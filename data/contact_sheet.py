"""One picture that shows, for every attribute of a data set in CelebA's layout, some faces that have it.

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
from utils.layouts.celeba import read_attribute_table
from utils.layouts.folders import find_image_folder

THUMB = (57, 70)
GAP, LABEL, HEADER, COLUMNS = 2, 120, 8, 2
KINDS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
INK, PAPER, RULE = (34, 38, 46), (255, 255, 255), (226, 229, 234)


def draw_contact_sheet(folder, out_png, per_attribute=8):
    """Draw a sheet with `per_attribute` faces of each attribute, about 1200 pixels wide.

    Args:
        folder: in CelebA's layout
        out_png: picture to write; .png (a palette of 224 colours, to stay small), .jpg or .jpeg
    Returns: Path of the picture
    Raises: InputError where the folder, one of the images or the file name will not do
    """
    out = check_name(out_png)
    chosen, images = _choose_faces(folder, per_attribute), find_image_folder(folder)
    cell = (LABEL + per_attribute * (THUMB[0] + GAP) + 8, THUMB[1] + 3)
    lines = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * cell[0], 2 * HEADER + lines * cell[1]), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (name, image_ids) in enumerate(chosen.items()):
        left, top = number // lines * cell[0] + 8, HEADER + number % lines * cell[1]
        pen.line([(left, top + cell[1] - 2), (left + cell[0] - 16, top + cell[1] - 2)], fill=RULE)
        words = "\n".join(_wrap(name.replace("_", " ")))
        pen.multiline_text((left, top + THUMB[1] / 2), words, fill=INK, font=font, anchor="lm", spacing=3)
        for place, image_id in enumerate(image_ids):
            thumb = _open_image(images / image_id).resize(THUMB, Image.Resampling.LANCZOS)
            sheet.paste(thumb, (left + LABEL - 8 + place * (THUMB[0] + GAP), top))
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


def _choose_faces(folder, count):
    """{attribute: up to `count` image ids that have it}; sharp faces first, each attribute from another place on."""
    table = read_attribute_table(folder)
    arguments.check_names(table.names)
    rows, chosen = np.arange(len(table.image_ids)), {}
    blurred = table.columns(["Blurry"])[:, 0] if "Blurry" in table.names else np.zeros_like(rows)
    for number, name in enumerate(table.names):
        having = np.roll(rows, -(number * len(rows) // len(table.names)))
        having = having[table.labels[having, number] == 1]
        having = having[np.argsort(blurred[having], kind="stable")]  # the order stays within sharp and blurred
        chosen[name] = table.image_ids[having[:count]].tolist()
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
    text = "folder in CelebA's layout"
    parser.add_argument("--data_path", default="data/synthetic_celeba", metavar="DIR", help=text)
    parser.add_argument("--out", default="faces.png", metavar="FILE", help="picture to write: .png or .jpg")
    return parser


def main(args):
    """Draw the sheet."""
    check_outputs(vars(args), out=args.out)
    print(f"wrote {draw_contact_sheet(args.data_path, args.out)}")


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
