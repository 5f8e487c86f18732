"""A network in formats that run without this project: ONNX, and PyTorch's exported program; each checked as written."""

import io
import json
import warnings

import torch

from utils.common.errors import InputError
from utils.common.files import write_atomically

TOLERANCE = 1e-4  # logits
OPTIONAL = ("onnx", "onnxscript", "onnxruntime")
INSTALL = "pip install -r requirements-export.txt"


def about(checkpoint, sha256, img_size):
    """{name: text} that goes into an exported file: what the outputs are and how images are prepared."""
    facts = {"attributes": " ".join(checkpoint.attributes), "normalisation": checkpoint.normalisation}
    facts |= {"model": checkpoint.model, "kind": checkpoint.kind, "img_size": str(img_size)}
    return {**facts, "checkpoint_sha256": sha256}


def check_installed():
    """Raise an InputError that names what ONNX needs and this environment lacks."""
    import importlib.util

    absent = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(f"--onnx needs {', '.join(absent)}, not installed here: {INSTALL}")


def write_onnx(path, model, img_size, facts):
    """Write a network as ONNX: input "images" (N, 3, H, W) float32, output "logits" (N, K), any N.

    Args: model: on the CPU, in eval mode; facts: {name: text}, kept as the file's metadata
    Returns: largest difference from the network's own logits on random images, computed by onnxruntime from the bytes
    Raises: InputError if a package is absent, the network can't be exported, or the difference is above TOLERANCE
    """
    check_installed()
    names = {"input_names": ["images"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = _exported(
            lambda images, shapes: torch.onnx.export(
                model, (images,), dynamo=True, dynamic_shapes=shapes, verbose=False, **names
            ),
            img_size,
        )
    program.model.metadata_props.update(facts)
    content = program.model_proto.SerializeToString()
    difference = _checked(path, model, img_size, _run_onnx(content))
    write_atomically(path, content)
    return difference


def write_exported_program(path, model, img_size, facts):
    """Write a network as an exported program (.pt2), for torch.export.load, any number of images.

    Args: model: on the CPU, in eval mode; facts: {name: text}, kept in the file as network.json
    Returns: largest difference from the network's own logits on random images, computed from the bytes
    Raises: InputError if the network can't be exported or the difference is above TOLERANCE
    """
    program = _exported(lambda images, shapes: torch.export.export(model, (images,), dynamic_shapes=shapes), img_size)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"network.json": json.dumps(facts)})
    content = buffer.getvalue()
    difference = _checked(path, model, img_size, torch.export.load(io.BytesIO(content)).module())
    write_atomically(path, content)
    return difference


def _exported(export, img_size):
    """Call an exporter with two images and a batch axis of any length."""
    try:
        with torch.no_grad():
            return export(torch.zeros(2, 3, img_size, img_size), ({0: torch.export.Dim("batch")},))
    except Exception as error:  # exporters raise many kinds; each means the same to the user
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"PyTorch can't export this network: {reason}") from error


def _run_onnx(content):
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@torch.no_grad()
def _checked(path, model, img_size, exported):
    """Largest difference over a batch of one and one of five, neither of them the exporter's."""
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, 3, img_size, img_size, generator=generator) for count in (1, 5)]
    difference = max(float((model(images) - exported(images)).abs().amax()) for images in batches)
    if not difference <= TOLERANCE:  # nan, too
        raise InputError(f"{path}: the exported network's logits differ by {difference:.1e}: nothing is written")
    return difference
