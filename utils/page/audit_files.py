"""The file of an audit, read with limits and looked through: it may come from anybody, and all of it is shown."""

import json
import math
from pathlib import Path

from utils.common.errors import InputError
from utils.common.parser import one_line
from utils.report.style import plain

LARGEST = 64 << 20  # bytes of an audit; those of 40 heads have less than one MB
REFERENCES = {"oracle": "the oracle's", "random": "a random initialisation's", None: "nothing, there is no reference"}


def read_audit(path):
    """An audit, with all that is shown of it, as `utils.audit.audit.audit` returns it.

    Raises: InputError if the file is no audit, too large, or of an earlier version
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ValueError("a folder, a pipe or a device")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MB")
        audit = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        _check_audit(audit)
        return audit
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:120]
        raise InputError(f"{path} is no audit ({one_line(reason)}): run step 3 with --audit again") from None


def _refuse_constant(name):
    raise ValueError(f"{name} is no figure")


def _require(holds, what):
    if not holds:
        raise ValueError(f"{what} is missing, or of another kind")


def _check_audit(audit):
    _require(isinstance(audit["target"], str), "the target's name")
    networks = audit["nets"]
    _require("attacks" in networks["unlearned"], "of an earlier version: attacks")
    reference = networks["unlearned"]["gaps"]["reference"]
    _require(reference is None or reference in REFERENCES, "the reference")
    for names in (audit["kept"], audit.get("attributes", []), audit.get("stages", []), audit.get("notes", [])):
        _require(isinstance(names, list) and all(isinstance(name, str) for name in names), "a list of names")
    counts, level = audit.get("n") or {}, audit.get("level") or {}
    _require(all(map(is_number, counts.values())) and isinstance(level, dict), "the numbers of images")
    _check_verdict(audit["verdict"])
    for record in networks.values():
        _check_network(record)


def _check_network(record):
    for attacks in (record["attacks"], record["gaps"]["attacks"]):
        for places in attacks.values():
            for figure in places.values():
                _check_figure(figure)
                for key in ("p", "information"):
                    _require(is_number_or_none(figure.get(key)), key)
    shipped = record["shipped"]
    _check_figure(shipped)
    _require(isinstance(shipped["has_head"], bool), "has_head")
    if shipped.get("roc"):
        rates = [shipped["roc"][key] for key in ("fpr", "tpr")]
        _require(len(rates[0]) == len(rates[1]) and all(is_number(rate) for one in rates for rate in one), "the ROC")
    for figures in record["heads"].values():
        _require(all(is_number_or_none(value) for name, value in figures.items() if name != "intervals"), "a head")
        _require(all(map(_is_interval, figures.get("intervals", {}).values())), "a head's intervals")
    for change in record["kept_changes"]["heads"].values():
        for measure in ("accuracy", "auc"):
            _check_figure(change[measure])
    for part in record["relearning"].values():
        for point in part["curve"]:
            _check_figure(point)
            _require(is_number(point["n"]) and point["n"] > 0, "the images of a curve")
    _check_verdict(record["verdict"])


def _check_verdict(verdict):
    _require(all(isinstance(verdict[key], str) for key in ("word", "reason", "qualifier")), "the verdict")
    plain(verdict["word"])
    for pair in verdict["numbers"].get("found", []):
        _require(isinstance(pair["attack"], str) and isinstance(pair["place"], str), "what was found")


def _check_figure(figure):
    interval = figure.get("interval")
    good = interval is None or (_is_interval(interval) and None not in interval)
    _require(is_number_or_none(figure["value"]) and good, "a figure")


def is_number(value):
    """Whether a value of a JSON file is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_number_or_none(value):
    """Whether a value of a JSON file is a finite number or null."""
    return value is None or is_number(value)


def _is_interval(value):
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(is_number_or_none, value)))
