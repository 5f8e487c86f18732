"""Draw what scoring costs: seconds per method at every number of attributes, a panel a size of images.

Reads   results/lines/scoring.jsonl      (benchmarks.scoring)
Writes  results/pictures/scoring_speed.png

    python -m results.draw_scoring
"""

from pathlib import Path

from results.result_lines import read_json_lines

HERE = Path(__file__).resolve().parent
COLOURS = {
    "ours": "#1b6ca8",
    "ours, with edges": "#7fb2d9",
    "torchcam": "#e0a030",
    "grad-cam": "#c8553d",
    "captum": "#6b2d5c",
}
NAMES = {"ours": "ours, channels", "ours, with edges": "ours, channels and connections"}


def draw(lines, path):
    """One group of bars a number of attributes; the number over a bar is its time over ours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sizes = sorted({line["img_size"] for line in lines})
    figure, panels = plt.subplots(1, len(sizes), figsize=(6.5 * len(sizes), 4.6), layout="constrained", squeeze=False)
    for axes, size in zip(panels[0], sizes, strict=True):
        draw_panel(axes, {line["attributes"]: line for line in lines if line["img_size"] == size})
    panels[0][0].set_ylabel("seconds, median (log scale)")
    panels[0][0].legend(frameon=False, fontsize=9, loc="upper left")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def draw_panel(axes, lines):
    """Bars of one size of images; lines: {attributes: line}."""
    width = 0.8 / len(COLOURS)
    for place, heads in enumerate(sorted(lines)):
        medians = lines[heads]["median_seconds"]
        for i, (method, colour) in enumerate(COLOURS.items()):
            if method not in medians:
                continue
            x = place + (i - len(COLOURS) / 2 + 0.5) * width
            label = NAMES.get(method, method) if place == 0 else None
            axes.bar(x, medians[method], 0.92 * width, color=colour, label=label)
            ratio = f"{lines[heads]['times_ours'][method]:.1f}×"
            axes.annotate(ratio, (x, medians[method]), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(range(len(lines)), [f"K = {heads} attributes" for heads in sorted(lines)])
    line = lines[min(lines)]
    facts = f"{line['scoring_images']} images of {line['img_size']} px an attribute, {line['layers']} layers"
    axes.set_title(f"{line['model']}, {facts}", loc="left", fontsize=11)
    axes.set_yscale("log")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)


if __name__ == "__main__":
    draw(read_json_lines(HERE / "lines" / "scoring.jsonl"), HERE / "pictures" / "scoring_speed.png")
