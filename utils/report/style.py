"""How every picture looks and how it is written: one style, one palette, equal bytes for equal input."""

import io
import textwrap
import warnings
from contextlib import contextmanager

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.common.paths import write_atomically

# Okabe and Ito's palette (2008): distinct with any common colour blindness
INK, GREY, PALE = "#222222", "#8c8c8c", "#d9d9d9"
FORGOTTEN, KEPT, SHARED = "#d55e00", "#0072b2", "#e69f00"
GREEN = "#009e73"  # what a verdict allows
KEPT_COLOURS = (KEPT, GREEN, "#56b4e9", "#cc79a7", "#8a7f00", SHARED)
NETWORK_STYLES = {  # colour, line, marker: a network looks the same in every picture
    "original": (INK, "-", "o"),
    "unlearned": (FORGOTTEN, "-", "s"),
    "pruned": (SHARED, "-", "s"),
    "erased": (FORGOTTEN, "-", "s"),
    "oracle": (KEPT, "--", "D"),
    "random initialisation": (GREY, ":", "^"),
    "drop the head": (SHARED, "-.", "v"),
}
SPARE_STYLES = (("#009e73", "--", "P"), ("#cc79a7", "-.", "X"), ("#56b4e9", ":", "<"), ("#8a7f00", "-", ">"))
PIXELS_PER_INCH = 140
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so letters are the same on every machine
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "grid.linestyle": "-",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a $ in a name is a $
}
MOST_PIXELS, LONGEST_SIDE = 40_000_000, 20_000  # of a picture, and pixels of its side; a larger one gets fewer an inch


@contextmanager
def picture(path, width, height, title=""):
    """A figure to draw on, written as PNG when the block ends; nothing is written if drawing fails.

    Args:
        path: the PNG to write; its folder is made
        width, height: inches
        title: heading over the whole picture, wrapped to its width
    """
    # from matplotlib's own defaults: no file of the user's settings changes a picture
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
        dpi = min(PIXELS_PER_INCH, LONGEST_SIDE / max(width, height), (MOST_PIXELS / width / height) ** 0.5)
        figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
        FigureCanvasAgg(figure)  # an own canvas: no pyplot, no state shared with the caller's figures
        if title:
            figure.suptitle(_wrapped(title, max(24, int(width * 11))), fontsize=11, fontweight="bold")
        yield figure
        content = io.BytesIO()
        # matplotlib would write its version into the file
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    write_atomically(path, content.getvalue())


def _wrapped(title, width):
    """Lines of a heading, each wrapped to at most three."""
    lines = [plain(line, most=len(line)) for line in title.splitlines()]
    return "\n".join(textwrap.fill(line, width, max_lines=3, placeholder=" …") for line in lines)


def plain(name, most=40):
    """A name in one line of letters that can be drawn; of a long one the middle is left out.

    Args: most: characters
    """
    name = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(name))
    return name if len(name) <= most else f"{name[: most - most // 3 - 1]}…{name[-(most // 3) :]}"


def readable(name):
    """An attribute's name as a person writes it: underscores become spaces."""
    return plain(str(name).replace("_", " "))


def marked(attribute, forgotten):
    """The attribute's label, with the forgotten ones marked in words and not by colour alone."""
    return f"{readable(attribute)} (forgotten)" if attribute in forgotten else readable(attribute)


def mark_tick_labels(labels, attributes, forgotten):
    """Colour the tick labels of forgotten attributes, in the attributes' order."""
    for label, attribute in zip(labels, attributes, strict=True):
        if attribute in forgotten:
            label.set(color=FORGOTTEN, fontweight="bold")


def attribute_colours(attributes, forgotten):
    """{attribute: colour}: one for the forgotten, one for each kept, or grey where those are too many."""
    kept = [attribute for attribute in attributes if attribute not in forgotten]
    palette = KEPT_COLOURS if len(kept) <= len(KEPT_COLOURS) else [GREY] * len(kept)
    colours = dict(zip(kept, palette, strict=False))
    return {attribute: colours.get(attribute, FORGOTTEN) for attribute in attributes}


def network_styles(names):
    """{network: (colour, line style, marker)}: the known ones keep theirs, others take spare ones in turn.

    Args: names: "erased, strength 2" is known as "erased"
    """
    kinds = {name: name.partition(", ")[0] for name in names}
    others = [name for name in names if kinds[name] not in NETWORK_STYLES]
    spare = {name: SPARE_STYLES[i % len(SPARE_STYLES)] for i, name in enumerate(others)}
    return {name: NETWORK_STYLES.get(kinds[name], spare.get(name)) for name in names}


def number(value):
    """A figure as float; NaN, which is left out of a picture, where it is undefined."""
    return float("nan") if value is None else float(value)


def legend_below(figure, handles, labels, columns=4):
    """One legend of `handles` and `labels` under all panels of a `figure`, so that it never covers a curve."""
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(handles)))
