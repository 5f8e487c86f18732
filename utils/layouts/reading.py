"""Any folder of images and labels to one table: which layout it has is seen from what lies in it."""

from pathlib import Path

from utils.common.errors import InputError
from utils.layouts.attribute_table import name_some
from utils.layouts.celeba import TABLE_FILES, read_attribute_table
from utils.layouts.class_folders import find_classes, read_class_folders
from utils.layouts.coco import find_instances, read_coco
from utils.layouts.csv_files import find_csvs, read_csv
from utils.layouts.folders import IMAGES, check_folder, find_files, list_images
from utils.layouts.text import shown
from utils.layouts.voc import ANNOTATIONS, find_years, read_voc

CSV_FLAGS = ("table", "image_column", "names_column", "names_separator")
LAYOUT_OF = dict.fromkeys(CSV_FLAGS, "csv") | {"difficult": "voc"}  # flags that are for one layout only
READERS = {
    "celeba": lambda folder, **_: read_attribute_table(folder),
    "csv": read_csv,
    "voc": read_voc,
    "coco": read_coco,
    "folders": read_class_folders,
}
IN_WORDS = {
    "celeba": "CelebA's layout",
    "csv": "a table of one's own",
    "voc": "PASCAL VOC's layout",
    "coco": "COCO's layout",
    "folders": "class folders",
}
LOOKED_FOR = "Annotations/*.xml, annotations/instances_*.json, a .csv with image files, two folders of images or more"


def reading_options(
    *,
    layout=None,
    table=None,
    image_column=None,
    names_column=None,
    names_separator=None,
    difficult=None,
    unknown_labels=None,
    **_,
):
    """{flag: value} of the flags of these names that say how a folder is read, without those that are None."""
    found = {"layout": layout, "table": table, "image_column": image_column, "names_column": names_column}
    found |= {"names_separator": names_separator, "difficult": difficult, "unknown_labels": unknown_labels}
    return {flag: value for flag, value in found.items() if value is not None}


def read_folder(folder, **options):
    """Read a folder in any layout.

    Args: options: of `reading_options`
    Returns: AttributeTable
    Raises: InputError if the layout is not known, or it might be one of two, or for what is wrong with the table
    """
    layout = options.get("layout") or recognise(folder, options)
    if layout not in READERS:
        raise InputError(f"unknown layout {shown(layout)}: choose among {', '.join(READERS)}")
    stray = next((flag for flag, its in LAYOUT_OF.items() if layout != its and flag in options), None)
    if stray is not None:
        its = IN_WORDS[LAYOUT_OF[stray]]
        raise InputError(f"--{stray} is for {its}, {folder} is read as {IN_WORDS[layout]}: leave it out")
    return READERS[layout](folder, **{flag: value for flag, value in options.items() if flag != "layout"})


def recognise(folder, options=()):
    """The layout of a folder, a key of READERS. Raises: InputError if there is none, or more than one."""
    folder = check_folder(folder)
    if any(flag in options for flag in CSV_FLAGS):
        return "csv"
    celeba = [base for base in (folder, folder / "celeba") if (base / IMAGES).is_dir()]
    if celeba or find_files(folder, TABLE_FILES):
        return "celeba"
    found = {}
    if years := find_years(folder):
        found["voc"] = name_some([str(year / ANNOTATIONS) for year in years])
    if instances := find_instances(folder):
        found["coco"] = name_some([path.name for path in instances])
    if tables := find_csvs(folder):
        found["csv"] = name_some(tables)
    if not found.keys() & {"voc", "coco"}:
        classes = sorted({name for _, name, _ in find_classes(list_images(folder))})
        if len(classes) > 1:
            found["folders"] = f"{name_some(classes[:5])}{', …' if len(classes) > 5 else ''}"
    if len(found) > 1:
        which = " or ".join(f"{IN_WORDS[layout]} ({what}; --layout {layout})" for layout, what in found.items())
        raise InputError(f"{folder} may be {which}: say which by --layout")
    if not found:
        tables = " or ".join(TABLE_FILES)
        raise InputError(
            f"no attribute table ({tables}) in {folder} or {Path(folder) / 'celeba'}, and no other layout "
            f"(looked for {LOOKED_FOR}): see data/README.md"
        )
    return next(iter(found))
