"""Formats of a network that run without this project: ONNX, and PyTorch's exported program; compared, then written."""

import io
import json
import warnings
from importlib import import_module, util

import torch

from utils.common.errors import InputError, no_memory
from utils.common.paths import write_atomically

TOLERANCE = 1e-4  # logits
FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")


def describe(network, img_size):
    """{name: text} that goes into a file: what the outputs of a `LoadedNetwork` are and how its images are prepared."""
    facts = {"attributes": " ".join(network.attributes), "normalisation": str(network.normalisation)}
    facts |= {"model": network.name, "kind": network.kind, "img_size": str(img_size)}
    return {**facts, "checkpoint_sha256": network.sha256}


def preparation(facts):
    """A line on how images are prepared for a written network; `facts`: of `describe`."""
    side = facts["img_size"]
    return f"its images must be prepared so: RGB, {side} x {side} px, {facts['normalisation']}"


def load_optional(user, *packages):
    """Modules of optional `packages`; `user` is the flag or tool that needs them.

    Raises: InputError that names the absent ones and the pip line
    """
    absent = [name for name in packages if util.find_spec(name) is None]
    if absent:
        raise InputError(
            f"{user} needs {', '.join(absent)}, not installed here: pip install -r requirements-extras.txt"
        )
    return [import_module(name) for name in packages]


def write_network(path, model, img_size, facts, export, original=None):
    """Write a network for any number of images (N, 3, H, W), if what was exported gives its logits.

    Args:
        model: on the CPU, in eval mode
        facts: {name: text}, kept in the file
        export: `to_onnx` or `to_program`
        original: network whose logits it must have; None: its own
    Returns: largest difference from those logits, computed from the bytes that are written
    Raises: InputError if a package is absent, the network can't be exported, or its logits differ; nothing is written
    """
    try:
        with torch.no_grad():
            content, run = export(model, torch.zeros(2, 3, img_size, img_size), facts)
    except InputError:
        raise
    except Exception as error:  # exporters raise many kinds; each means the same to the user
        if no_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"PyTorch can't export this network: {reason}") from error
    difference = compare_logits(original or model, run, img_size, path)
    write_atomically(path, content)
    return difference


def to_program(model, images, facts):
    """(bytes, function of images) of an exported program; `facts` become its extra file network.json."""
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"network.json": json.dumps(facts)})
    return buffer.getvalue(), torch.export.load(io.BytesIO(buffer.getvalue())).module()


def to_onnx(model, images, facts):
    """(bytes, function of images) of an ONNX file: "images" in, "logits" out; `facts` become its metadata."""
    *_, runtime = load_optional("--onnx", *FOR_ONNX)
    options = {"input_names": ["images"], "output_names": ["logits"], "dynamo": True, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},), **options)
    program.model.metadata_props.update(facts)
    content = program.model_proto.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@torch.no_grad()
def compare_logits(model, other, img_size, path):
    """Largest difference of two networks' logits over a batch of one and one of five random images, on the CPU.

    Raises: InputError if it is above TOLERANCE, so that `path` is not written
    """
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, 3, img_size, img_size, generator=generator) for count in (1, 5)]
    difference = max(float((model(images) - other(images)).abs().amax()) for images in batches)
    if not difference <= TOLERANCE:  # nan, too
        raise InputError(f"{path}: the logits of the network to write differ by {difference:.1e}: nothing is written")
    return difference
