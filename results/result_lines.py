"""Reading results: JSON lines, and which of them are one measurement repeated with other seeds."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from utils.common.errors import InputError


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed."""

    dataset: str
    run: str
    attributes: tuple[str, ...]
    forgotten: tuple[str, ...]
    method: str
    model: str
    img_size: int
    proportion: float | None
    command: str


def read_json_lines(path):
    """The dictionaries of a file of JSON lines, in its order.

    Raises: InputError naming the line that is no JSON
    """
    results = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if text.strip():
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error.msg}); remove or mend that line") from error
            results += [line] if isinstance(line, dict) else []
    return results


def read_lines(path):
    """The results of step 3 in one file, in its order; lines of another kind (no "heads") are left out.

    Raises: InputError naming the line that is no JSON
    """
    return [line for line in read_json_lines(path) if isinstance(line.get("heads"), dict)]


def group_results(results):
    """{Group: {seed: result}}; of two results with one seed the later one counts."""
    groups = {}
    for result in results:
        groups.setdefault(group_of(result), {})[result.get("seed")] = result
    return groups


def group_of(result):
    """What must agree for two results to share a row."""
    seed, arguments = result.get("seed"), result.get("arguments") or {}
    return Group(
        dataset=dataset_of(result),
        run=without_seed(result["run"], seed),
        attributes=tuple(result["heads"]),
        forgotten=tuple(result["forgotten"]),
        method=result.get("method", "unnamed"),
        model=result.get("model", "unnamed"),
        img_size=result.get("img_size", 0),
        proportion=result.get("proportion", arguments.get("proportion")),
        command=without_seed(re.sub(r"\s+--seed[ =]\S+", "", result.get("command", "")), seed),
    )


def dataset_of(result):
    """The name of the data set that a result was measured on."""
    dataset = result.get("dataset") or (result.get("arguments") or {}).get("data_path", "data set not named")
    return dataset["name"] if isinstance(dataset, dict) else str(dataset)


def without_seed(text, seed):
    """Names without the seed at their end: "Bald_seed1" or "Bald-s1" of seed 1 -> "Bald"."""
    return re.sub(rf"[-_](?:seed|s)[-_]?{seed}(?!\w)", "", text)
