"""Images with heat maps over them, as JPEGs inside of the page."""

import numpy as np
from PIL import Image

from utils.page.kept_record import open_jpeg, to_jpeg
from utils.report.figures import overlay_heat

SIDE = 96  # pixels of a picture


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
