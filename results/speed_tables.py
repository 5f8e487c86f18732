"""Tables of what the benchmarks of speed measured; lines of one kind carry the same word under "what"."""

METHODS = {"ours": "**ours**, channels", "ours, with edges": "**ours**, channels and connections"}


def speed_tables(lines):
    """Markdown of the lines of one file that are of a kind known here, or None."""
    makers = {"scoring": scoring_table, "pipeline": pipeline_table, "roofline": roofline_table}
    parts = [make([line for line in lines if line.get("what") == kind]) for kind, make in makers.items()
             if any(line.get("what") == kind for line in lines)]  # fmt: skip
    return "\n".join(parts) or None


def scoring_table(lines):
    """Markdown: a table a size of images; later lines in the place of earlier ones."""
    lines = {(line["img_size"], line["attributes"]): line for line in lines}
    parts = []
    for size in sorted({size for size, _ in lines}):
        parts.append(_scoring_table({heads: line for (px, heads), line in sorted(lines.items()) if px == size}))
    return "\n".join([*parts, _origins(lines.values()), ""])


def _scoring_table(lines):
    """A row a method, the ratios to ours without and with connections a number of attributes."""
    columns = [f"{next(iter(lines.values()))['img_size']} px"]
    for heads in lines:
        columns += [f"K = {heads}, s", "times ours", "times ours with connections", "largest difference"]
    rows = []
    for method in dict.fromkeys(name for line in lines.values() for name in line["median_seconds"]):
        cells = [METHODS.get(method, method)]
        for line in lines.values():
            cells += [_figure(line["median_seconds"].get(method), "{:.2f}")]
            cells += [_figure(line[ratio].get(method), "{:.2f}") for ratio in ("times_ours", "times_ours_with_edges")]
            cells += ["" if method == "ours" else _figure(line["largest_difference"].get(method), "{:.0e}")]
        rows.append(cells)
    return _table(columns, rows)


def pipeline_table(lines):
    """Markdown: a row a line of `benchmarks.pipeline_share`, its phases in milliseconds."""
    phases = list(lines[0]["median_seconds"])
    columns = ["data", "heads", *(f"{phase}, ms" for phase in phases), "training, s", "share", "start, s"]
    rows = []
    for line in lines:
        cells = [line["dataset"], str(len(line["attributes"]))]
        cells += [f"{1000 * line['median_seconds'][phase]:.1f}" for phase in phases]
        training = f"{line['training_seconds']:.0f} ({line['training_epochs']} epochs)"
        rows.append([*cells, training, f"{100 * line['share']:.2f} %", f"{line['start_seconds']:.1f}"])
    return _table(columns, rows) + f"\n{_origins(lines)}\n"


def roofline_table(lines):
    """Markdown: a row a stage of the last line of `benchmarks.roofline`."""
    line = lines[-1]
    columns = ["stage", "ms", "floor, ms", "times the floor", "what bounds it", "the rest"]
    rows = [
        [
            stage["stage"],
            f"{1000 * stage['seconds']:.1f}",
            f"{1000 * stage['floor_seconds']:.1f}",
            f"{stage['seconds'] / stage['floor_seconds']:.1f}",
            stage["bound"],
            stage["rest"],
        ]
        for stage in line["stages"]
    ]
    bare = ", ".join(f"{name} {value:.3g}" for name, value in line["machine"].items())
    return _table(columns, rows) + f"\nThe machine, measured bare: {bare}.\n\n{_origins([line])}\n"


def _figure(value, form, times=1):
    return "" if value is None else form.format(times * value)


def _table(columns, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows]) + "\n"


def _origins(lines):
    """Where the figures come from: commands, hardware, versions, commits and days, each once."""
    words = {}
    for line in lines:
        versions = {"torch": line["versions"].get("torch"), **line.get("library_versions", {})}
        threads = f"{line['threads']} threads" if "threads" in line else ""
        told = [f"`{line['command']}`", line["hardware"], threads, ", ".join(f"{k} {v}" for k, v in versions.items())]
        words |= dict.fromkeys([*told, f"commit {line['commit']}", line["date"][:10]])
    return " · ".join(word for word in words if word)
