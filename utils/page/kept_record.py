"""What step 3 keeps for the page beside an audit: how the original was trained, and Grad-CAM before and after."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from utils.common.paths import write_atomically
from utils.datasets.dataset import denormalise
from utils.graph.importance import maps_and_gradients
from utils.network.modes import evaluating
from utils.network.tensor_files import sha256_of
from utils.page.audit_files import is_number
from utils.report.figures import overlay_heat

KEPT_FILE = "page.json"
IMAGES = 8
SIDE = 96  # pixels of a picture in the page
LEAST_SIDE = 4  # pixels of a map: less is no picture
FAINT = 0.05  # of the largest evidence on any image: less than that is not scaled up to full brightness


def is_drawn(data_path):
    """Whether a data set was drawn by a script of `data/`, so that nobody is shown in it."""
    try:
        made_by = json.loads((Path(data_path) / "made_by.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(made_by, dict) and "drawing" in made_by


def keep_record(folder, task, networks, data, faces=None, checkpoint_sha256=None):
    """Write page.json: training flags, sha256 of the networks, and maps with or without the images under them.

    Args:
        folder: of the method; task: `Task`; networks: {"original", "unlearned"} on the task's device
        data: `ImageDataset`; faces: keep the images, too; None: those of drawn data only
        checkpoint_sha256: of the unlearned network's file
    """
    path = task.checkpoint_file("oracle")
    drawn = is_drawn(task.data_options["data_path"])
    record = {
        "training": task.network.arguments,
        "checkpoint_sha256": checkpoint_sha256,
        "parent_sha256": task.network.sha256,
        "oracle_sha256": sha256_of(path) if path.is_file() else None,
        "drawn": drawn,
        "cams": compare_cams(networks, data, task, drawn if faces is None else faces),
    }
    write_atomically(Path(folder) / KEPT_FILE, json.dumps(record, allow_nan=False, default=str) + "\n")


def compare_cams(networks, data, task, faces):
    """Grad-CAM of the targets (two at most) and the first kept head, before and after, on eight test images.

    Args: as `keep_record`
    Returns: {"layer", "attributes", "ids", "images": JPEG in base64 or None, "maps": {network: {attribute: (N, h, w)
        lists in [0, 1], 1 being the most that the original shows on that image}}}; None where no convolution has maps
        of four pixels a side
    """
    attributes = [*task.forgotten[:2], *task.kept[:1]]
    rows = data.prepare(_rows_with(data, attributes))
    images = next(data.batches(rows, len(rows), task.device))[0]
    layer = deepest_map(networks["original"], images)
    if layer is None:
        return None
    maps = {name: {} for name in networks}
    for attribute in attributes:
        heats = {name: evidence(network, layer, images, attribute) for name, network in networks.items()}
        most = heats["original"].amax((1, 2), keepdim=True)
        scale = most.clamp(min=max(FAINT * float(most.max()), 1e-12))
        for name, heat in heats.items():
            shares = (heat / scale).clamp(0, 1).cpu().numpy()
            maps[name][attribute] = [[[round(float(value), 3) for value in row] for row in one] for one in shares]
    pixels = denormalise(images, data.normalisation) if faces else []
    return {
        "layer": layer,
        "attributes": attributes,
        "ids": [str(data.image_ids[row]) for row in rows],
        "images": [to_jpeg(picture) for picture in pixels] or None,
        "maps": maps,
    }


def _rows_with(data, attributes):
    """Eight test images, ascending: of each attribute the first that have it, then the first of the others."""
    tested = data.rows("test")
    each = -(-IMAGES // len(attributes))
    labels = data.labels[tested]
    own = [tested[labels[:, data.attributes.index(attribute)] == 1][:each] for attribute in attributes]
    chosen = list(dict.fromkeys(np.concatenate([*own, tested]).tolist()))[:IMAGES]
    return np.array(sorted(chosen))


def deepest_map(model, images):
    """Name of the last convolution, in the order in which they run, whose maps have four pixels a side; None if none.

    Args: images: (N, 3, H, W), of which the first is passed. Convolutions that run more than once are passed over
    """
    sides, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):

            def note(_module, _given, output, name=name):
                sides[name] = 0 if name in sides else min(output.shape[2:])

            handles.append(module.register_forward_hook(note))
    try:
        with torch.no_grad(), evaluating(model):
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return next((name for name, side in reversed(sides.items()) if side >= LEAST_SIDE), None)


def evidence(model, layer, images, attribute):
    """(N, h, w) Grad-CAM before it is scaled: relu(sum_c alpha_c A_c), in logits, of images (N, 3, H, W)."""
    recorded, _ = maps_and_gradients(model, [layer], images, attribute)
    maps, gradient = recorded[layer]
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()


def to_jpeg(pixels):
    """(H, W, 3) uint8 pixels as a JPEG in base64."""
    content = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(content, "JPEG", quality=85)
    return base64.b64encode(content.getvalue()).decode()


def check_kept(record):
    """Refuse a page.json that a page could not show. Raises: ValueError, LookupError or TypeError"""
    training, cams = record["training"], record["cams"]
    if not isinstance(training, dict) or not isinstance(record["oracle_sha256"], (str, type(None))):
        raise ValueError("the training")
    if not isinstance(record.get("drawn"), (bool, type(None))):
        raise ValueError("drawn")
    if cams is None:
        return
    names = [cams["layer"], *cams["attributes"], *cams["ids"], *(cams["images"] or [])]
    if not all(isinstance(name, str) for name in names) or len(cams["ids"]) > 4 * IMAGES:
        raise ValueError("the pictures")
    for network in ("original", "unlearned"):
        for attribute in cams["attributes"]:
            maps = cams["maps"][network][attribute]
            shares = [value for one in maps for row in one for value in row]
            whole = all(is_number(share) and 0 <= share <= 1 for share in shares)
            if len(maps) != len(cams["ids"]) or not whole or {np.asarray(one).ndim for one in maps} != {2}:
                raise ValueError("a map")
    if cams["images"]:
        for text in cams["images"]:
            open_jpeg(text)


def open_jpeg(text):
    """(H, W, 3) uint8 pixels of a JPEG in base64. Raises: ValueError if it is none, or large"""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["JPEG"]) as picture:
            if max(picture.size) > 4096:
                raise ValueError("a picture is too large")
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError("no picture") from error


def cam_rows(kept):
    """Rows of pictures of Grad-CAM before and after, the original's once.

    Args: kept: {method: record of page.json}
    Returns: {"layer", "count", "faces": whether photographs are in it, "rows": [{"attribute": name, or None for the
        images alone, "network": name, "pictures": [data URL]}]}; None where nothing was kept. Methods that were shown
        other images than the first are left out
    """
    known = {method: record["cams"] for method, record in kept.items() if record["cams"]}
    if not known:
        return None
    first = next(iter(known.values()))
    shared = ("ids", "layer", "attributes")
    same = {method: cams for method, cams in known.items() if all(cams[key] == first[key] for key in shared)}
    photographs = [_resized(open_jpeg(text)) for text in first["images"]] if first["images"] else None
    rows = [{"attribute": None, "network": "image", "pictures": _urls(photographs)}] if photographs else []
    under = photographs or [np.zeros((SIDE, SIDE, 3), np.uint8)] * len(first["ids"])
    for attribute in first["attributes"]:
        heats = {"original": first["maps"]["original"][attribute]}
        heats |= {method: cams["maps"]["unlearned"][attribute] for method, cams in same.items()}
        for network, maps in heats.items():
            tiles = [overlay_heat(image, np.asarray(heat)) for image, heat in zip(under, maps, strict=True)]
            rows.append({"attribute": attribute, "network": network, "pictures": _urls(tiles)})
    return {"layer": first["layer"], "count": len(under), "faces": bool(photographs), "rows": rows}


def _resized(pixels):
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _urls(pictures):
    return [f"data:image/jpeg;base64,{to_jpeg(picture)}" for picture in pictures]
