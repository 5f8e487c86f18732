"""Tables of the lines of `benchmarks.erasure_cost`, `erasure_ablations` and `erasure_scaling`, in Markdown."""

from results.wording import spread


def erasure_tables(lines):
    """Markdown of the lines of one file that are of a kind known here, or None."""
    kinds = {
        cost_table: [line for line in lines if "erase_seconds" in line],
        ablation_table: [line for line in lines if line.get("what") == "erasure ablation"],
        scaling_table: [line for line in lines if line.get("what") == "erasure scaling"],
    }
    return "\n".join(make(found) for make, found in kinds.items() if found) or None


def cost_table(lines):
    """A row per run: an erasure beside an oracle of the same number of images and pixels."""
    rows = [["run, forgotten", "images", "erasure, s", "an epoch of training, s", "oracle", "share", "hardware"]]
    for line in lines:
        median = [sorted(line[key])[len(line[key]) // 2] for key in ("erase_seconds", "epoch_seconds")]
        oracle = f"{line['oracle_epochs']} epochs"
        what = f"{line['run']}, {' '.join(line['forgotten'])}"
        cells = [what, f"{line['erase_images']:,}", *(f"{value:.2f}" for value in median), oracle]
        rows.append([*cells, f"{100 * line['ratio']:.2f} %", line["hardware"]])
    return _table(rows) + _origins(lines)


def ablation_table(lines):
    """A row per setting and target; the last line of each setting, target and seed counts; ± over seeds."""
    found = {}
    for line in lines:
        key = line["run"].rsplit("_s", 1)[0], line["setting"], tuple(line["forgotten"])
        found.setdefault(key, {})[line["seed"]] = line
    stages = list(next(iter(lines[0]["targets"].values()))["gaps"])
    shown = [stage for stage in stages if stage != "features"] or stages
    columns = ["run, forgotten", "setting", *(f"gap {stage}" for stage in shown), "kept loss", "verdict", "s"]
    rows = [columns]
    for (run, setting, forgotten), by_seed in found.items():
        for target in forgotten:
            each = [line["targets"][target] for line in by_seed.values()]
            gaps = [spread([one["gaps"][stage]["value"] for one in each]) for stage in shown]
            loss = spread([line["kept_loss"] for line in by_seed.values()])
            words = ", ".join(dict.fromkeys(one["verdict"]["word"] for one in each))
            time = f"{sorted(line['seconds'] for line in by_seed.values())[len(by_seed) // 2]:.1f}"
            rows.append([f"{run}, {target}", setting, *gaps, loss, words, time])
    note = (
        "\n*Gap*: linear probe's AUC above the oracle's, test part; ERASED allows 0.020. *Kept loss*: the largest of a "
        "kept head since the original, of AUC or accuracy, as a fraction.\n"
    )
    return _table(rows) + note + _origins(lines)


def scaling_table(lines):
    """A row per case; the last line of each counts."""
    rows = [["network", "heads", "images", "training set", "seconds", "ms an image", "peak memory, GB"]]
    cases = {(line["model"], line["heads"], line["images"], line["train_images"]): line for line in lines}
    for (model, heads, images, train), line in cases.items():
        each = f"{1000 * line['seconds'] / images:.2f}"
        cells = [model, str(heads), f"{images:,}", f"{train:,}", f"{line['seconds']:.2f}", each]
        rows.append([*cells, f"{line['peak_rss_bytes'] / 1e9:.2f}"])
    return _table(rows) + _origins(lines)


def _table(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]) + "\n"


def _origins(lines):
    """Where the figures come from, each fact once."""
    facts = {}
    for line in lines:
        versions = ", ".join(f"{name} {line['versions'][name]}" for name in ("torch",) if name in line["versions"])
        seed = f" (seed {line['seed']})" if "seed" in line else ""
        told = [f"`{line['command']}`{seed}", line["hardware"], versions, f"commit {line['commit']}", line["date"][:10]]
        facts |= dict.fromkeys(told)
    return "\n" + " · ".join(fact for fact in facts if fact) + "\n"
