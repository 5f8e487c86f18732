"""Draw what scoring costs: milliseconds per method at every number of attributes.

Reads   results/scoring_speed.jsonl      (benchmarks.scoring_speed)
Writes  results/pictures/scoring_speed.png

    python -m results.draw_scoring
"""

from pathlib import Path

from results.result_lines import read_json_lines

HERE = Path(__file__).resolve().parent
COLOURS = {
    "ours": "#1b6ca8",
    "ours, with edges": "#7fb2d9",
    "bare passes": "#9a9a9a",
    "torchcam": "#e0a030",
    "grad-cam": "#c8553d",
    "captum": "#6b2d5c",
}
NAMES = {"ours": "ours, channels", "ours, with edges": "ours, channels and connections", "bare passes": "bare passes"}


def draw(lines, path):
    """One group of bars a number of attributes; the number over a bar is its time over ours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found = {line["attributes"]: line for line in lines}
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    width = 0.8 / len(COLOURS)
    for place, heads in enumerate(sorted(found)):
        line = found[heads]
        for i, (method, colour) in enumerate(COLOURS.items()):
            if method not in line["median_seconds"]:
                continue
            x, height = place + (i - len(COLOURS) / 2 + 0.5) * width, 1000 * line["median_seconds"][method]
            label = NAMES.get(method, method) if heads == min(found) else None
            axes.bar(x, height, 0.92 * width, color=colour, label=label)
            ratio = f"{line['times_ours'][method]:.1f}×"
            axes.annotate(ratio, (x, height), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(range(len(found)), [f"K = {heads} attributes" for heads in sorted(found)])
    axes.set(yscale="log", ylabel="milliseconds, median (log scale)")
    line = found[min(found)]
    facts = f"{line['images']} images of {line['img_size']} px, {line['layers']} layers, {line['model']}, float32"
    axes.set_title(f"Channel scores: {facts}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(read_json_lines(HERE / "scoring_speed.jsonl"), HERE / "pictures" / "scoring_speed.png")
