"""The files of PASCAL VOC's layout: an annotation for each image, lists of the parts, lists of each kind."""

from xml.etree import ElementTree

import numpy as np

from data.synthetic.making import write_lines
from data.synthetic.scenes.backdrop import HEIGHT, WIDTH
from data.synthetic.scenes.kinds import KINDS

FOLDER = "VOC2007"
IMAGES, ANNOTATIONS, LISTS = f"{FOLDER}/JPEGImages", f"{FOLDER}/Annotations", f"{FOLDER}/ImageSets/Main"
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}  # in file order


def name_image(index):
    """The name of scene `index` (from 0) without its ending."""
    return f"{index + 1:06d}"


def write_annotation(path, name, boxes):
    """Write the XML of one image; VOC counts pixels from 1. Args: boxes: [Box] of scene.py"""
    root = ElementTree.Element("annotation")
    _add(root, folder=FOLDER, filename=f"{name}.jpg")
    _add(ElementTree.SubElement(root, "source"), database="Drawn scenes", annotation=FOLDER, image="drawn")
    _add(ElementTree.SubElement(root, "size"), width=WIDTH, height=HEIGHT, depth=3)
    _add(root, segmented=0)
    for box in boxes:
        item = ElementTree.SubElement(root, "object")
        flags = {flag: int(getattr(box, flag)) for flag in ("truncated", "occluded", "difficult")}
        _add(item, name=box.kind, pose="Unspecified", **flags)
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), (corner + 1 for corner in box.corners), strict=True))
        _add(ElementTree.SubElement(item, "bndbox"), **corners)
    ElementTree.indent(root, "\t")
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8") + b"\n")


def state_kinds(boxes):
    """(10,) int8 as VOC's lists say it: 1 the kind is there, 0 only difficult ones are, -1 none is."""
    states = np.full(len(KINDS), -1, dtype=np.int8)
    for box in boxes:
        place = KINDS.index(box.kind)
        states[place] = max(states[place], 0 if box.difficult else 1)
    return states


def write_lists(folder, states):
    """Write train, val, trainval and test, and the same of each kind.

    Args: folder: for the lists; states: (N, 10) of `state_kinds`, a row for each image
    """
    ends = np.round(np.cumsum(list(SHARES.values())) * len(states)).astype(int)
    parts = dict(zip(SHARES, np.split(np.arange(len(states)), ends[:-1]), strict=True))
    parts["trainval"] = np.concatenate([parts["train"], parts["val"]])
    for part, rows in parts.items():
        names = [name_image(row) for row in rows]
        write_lines(folder / f"{part}.txt", names)
        for kind, column in zip(KINDS, states[rows].T.tolist(), strict=True):
            lines = [f"{name} {state:2d}" for name, state in zip(names, column, strict=True)]
            write_lines(folder / f"{kind}_{part}.txt", lines)


def _add(parent, **texts):
    """One child element for each name and text."""
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)
