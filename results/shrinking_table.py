"""The table of networks whose zero channels were taken out by `shrink_network.py`."""

NOTE = (
    "*Stay*: zero, but summed with channels that are not. *Speed*: median over passes of before / after, timed in "
    "turn; above 1 is faster. *Difference*: the largest of a logit, on random images / real or drawn faces."
)


def shrinking_table(lines):
    """Markdown: a row per result line of `shrink_network.py`, and under it where each comes from."""
    columns = ["#", "network", "zero channels", "removed", "stay", "parameters", "multiply-adds, M", "ms a pass"]
    columns += ["speed", "difference"]
    rows, origins = [columns, ["---"] * len(columns)], []
    for number, line in enumerate(lines, start=1):
        rows.append([str(number), f"{line['model']}, {line['shrunk']}", *_figures(line)])
        versions = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
        passes = f"{line['repeats']} passes of {line['batch_size']} images of {line['img_size']} px"
        facts = [passes, f"`{line['command']}`", line["hardware"], versions]
        facts += [f"commit {line['commit'] or '?'}", line["date"][:10]]
        origins.append(f"{number}. {' · '.join(facts)}")
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", NOTE, "", *origins, ""])


def _figures(line):
    counts = [f"{sum(layer[what] for layer in line['layers'].values()):,}" for what in ("zero", "removed", "stay")]
    before_after = [
        " → ".join(form(line[what][side]) for side in ("before", "after"))
        for what, form in (
            ("parameters", "{:,}".format),
            ("multiply_adds", lambda value: f"{value / 1e6:.1f}"),
            ("seconds", lambda value: f"{1000 * value:.0f}"),
        )
    ]
    difference = " / ".join(
        f"{line['difference'][kind]:.1e}" for kind in ("random", "real") if kind in line["difference"]
    )
    return [*counts, *before_after, f"{line['speed_ratio']:.2f}", difference]
