"""Tables of the lines of `benchmarks.loading_speed` and `benchmarks.training_speed`, in Markdown."""


def _markdown(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]) + "\n"


def loading_comparison(line):
    """{what: (plain, ours)} of a line of `benchmarks.loading_speed`, in images a second."""
    plain, ours = line["plain"], line["ours"]
    return {
        "first pass": (plain["evaluation"], ours["first"]),
        "later passes": (plain["evaluation"], ours["later"]),
        "training": (plain["training"], ours["training"]),
    }


def loading_table(lines):
    """A row per image size and kind of batches; of each size the last line. Memory, if measured, below."""
    rows = [["px", "batches", "plain, images/s", "ours, images/s", "ratio", "decoding alone, images/s", "hardware"]]
    for size, line in sorted({line["img_size"]: line for line in lines if "img_size" in line}.items()):
        for what, (plain, ours) in loading_comparison(line).items():
            bound = f"{line['decode_only']:,.0f}" if what == "first pass" else ""
            figures = [f"{plain:,.0f}", f"{ours:,.0f}", f"{ours / plain:.1f}", bound]
            rows.append([str(size), what, *figures, str(line.get("hardware", "?"))])
    text = _markdown(rows)
    for memory in [line["memory"] for line in lines if "memory" in line][-1:]:
        text += "\n" + _markdown(
            [["table rows", "opening, s", "first batch, s", "peak memory, MB"]]
            + [
                [f"{int(count):,}", *(f"{one[name]:.1f}" for name in ("open_seconds", "first_batch_seconds"))]
                + [f"{one['peak_rss_bytes'] / 1e6:.0f}"]
                for count, one in memory.items()
            ]
        )
    return text


def training_table(lines):
    """The last speeds of each network and image size, with --compile if timed, and the last comparison of AUC."""
    speeds = {(line["model"], line["img_size"]): line for line in lines if "ratio" in line}
    rows = [["network", "px", "plain, images/s", "ours, images/s", "ratio", "hardware"]]
    for (model, size), line in speeds.items():
        figures = [f"{line['plain']:.0f}", f"{line['ours']:.0f}", f"{line['ratio']:.2f}"]
        rows.append([model, str(size), *figures, str(line.get("hardware", "?"))])
    text = _markdown(rows) if speeds else ""
    for line in [line for line in lines if "compiled" in line][-1:]:
        times = line["compiled"] / line["ours"]
        text += f"\nWith `--compile`, in turns with these: {line['compiled']:.0f} images/s, {times:.2f} times ours.\n"
    for line in [line for line in lines if "auc_gap" in line][-1:]:
        seeds = ", ".join(str(one["seed"]) for one in line["auc"])
        text += (
            f"\nLargest gap between a head's mean AUC in float32 and in bfloat16, seeds {seeds}, "
            f"{line['epochs']} epochs on {line['limit']:,} rows: {line['auc_gap']:.4f}\n"
        )
    return text
