"""Words of the tables: mean and spread, and verdicts over seeds."""

import math
import statistics


def spread(values):
    """Mean ± sample standard deviation of the defined values: "0.990 ± 0.010"."""
    defined = [value for value in values if value is not None and not math.isnan(value)]
    if not defined:
        return "undefined"
    words = f"{statistics.fmean(defined):.3f}"
    words += f" ± {statistics.stdev(defined):.3f}" if len(defined) > 1 else ""
    return words if len(defined) == len(values) else f"{words} ({len(defined)} of {len(values)})"


def verdict_words(results, attribute):
    """The verdict's word or, where seeds differ, "2 × ERASED, 1 × SILENCED"; empty without an audit."""
    words = []
    for result in results:
        verdict = result.get("verdict")
        if isinstance(verdict, dict):
            verdict = verdict.get(attribute, verdict)
        words.append(verdict.get("word") if isinstance(verdict, dict) else verdict)
    found = {word: words.count(word) for word in dict.fromkeys(words) if word}
    if len(found) == 1 and len(words) == sum(found.values()):
        return next(iter(found))
    return ", ".join(f"{count} × {word}" for word, count in found.items())
