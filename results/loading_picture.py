"""Draw results/pictures/loading_speed.png from the lines of `benchmarks.loading_speed`.

python -m results.loading_picture
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from results.loading_tables import loading_comparison
from results.result_lines import read_json_lines

HERE = Path(__file__).resolve().parent
PLAIN, OURS = "#b8bec9", "#2f6db5"


def draw(lines, file):
    """A panel per image size: a pair of bars for each kind of batches, in images a second, on a logarithmic axis."""
    sizes = dict(sorted({line["img_size"]: line for line in lines if "img_size" in line}.items()))
    figure, panels = plt.subplots(1, len(sizes), figsize=(4.4 * len(sizes), 3.4), sharey=True, squeeze=False)
    for panel, (size, line) in zip(panels[0], sizes.items(), strict=True):
        draw_panel(panel, f"{size} px", loading_comparison(line))
    panels[0][0].set_ylabel("images a second (logarithmic)")
    panels[0][0].legend(frameon=False, loc="upper left", fontsize=8)
    figure.suptitle("Loading: a plain per-image loader with two workers, and ours", fontsize=11)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)


def draw_panel(panel, title, compared):
    """Bars of one image size, their heights written on them."""
    for place, (plain, ours) in enumerate(compared.values()):
        for shift, value, colour, label in ((-0.2, plain, PLAIN, "plain"), (0.2, ours, OURS, "ours")):
            panel.bar(place + shift, value, 0.38, color=colour, label=label if not place else None)
            panel.text(place + shift, value * 1.06, f"{value:,.0f}", ha="center", va="bottom", fontsize=8)
        high = 1.75 * max(plain, ours)
        panel.text(place, high, f"{ours / plain:.1f} ×", ha="center", va="bottom", fontsize=10, weight="bold")
    heights = [value for pair in compared.values() for value in pair]
    panel.set_yscale("log")
    panel.set_ylim(min(min(heights) / 2, panel.get_ylim()[0]), max(max(heights) * 5, panel.get_ylim()[1]))
    panel.set_xticks(range(len(compared)), compared)
    panel.set_title(title, fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(read_json_lines(HERE / "loading_speed.jsonl"), HERE / "pictures" / "loading_speed.png")
