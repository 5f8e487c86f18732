"""The columns of each kind of table that `results.make_tables` writes, and where a JSON line has their figures."""

MISSING = "–"
PLAIN = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "`": r"\`", "\\": r"\\"})
HEAD = {"tpr_all_positive": "TPR, all-positive", "accuracy": "accuracy", "balanced_accuracy": "balanced", "auc": "AUC"}
RUN, MACHINE = {"run": "run", "forgotten": "forgotten"}, {"px": "img_size", "hardware": "hardware"}
# what `results.audits` gives: columns of figures and their formats
AUDITED = {"head AUC": ".3f", **dict.fromkeys(["linear − oracle", "other − oracle", "worst − oracle"], "+.3f")}
AUDITED |= {"kept, points": "+.1f", "kept AUC": "+.3f", "unlearned − oracle": "+.3f", "information": "+.2f"}
TRIED = {"step 1": "train", "step 2": "score", "prune": "prune", "erase": "erase", "erase, weights": "erase_weights",
         "audit": "audit"}  # fmt: skip
# kind: (key that its lines have, dictionary whose items "*" stands for, {column that names a row: path},
#        {column of figures: path and format}); a path leads into the line, "a : b" is a ratio, "a → b" a pair
KINDS = {
    **dict.fromkeys(["methods", "audit"], ("audit", "", RUN | {"network": ""}, AUDITED)),
    "attacks": ("audit", "", RUN | {"method": "", "attack": ""}, AUDITED),
    "networks": ("audit", "", {"network": "", "px": "", "forgotten": "", "method": ""}, AUDITED),
    "heads": ("heads", "heads", RUN | {"method": "method", "head": "*"},
        {"test images": "heads/*/after/n ,.0f", "all-positive": "heads/*/after/n_all_positive ,.0f",
         **{name: f"heads/*/before/{path} → heads/*/after/{path} .3f" for path, name in HEAD.items()}}),
    "loading": ("decode_only", "", MACHINE,
        {"decoding alone, images/s": "decode_only ,.0f", "plain": "plain/evaluation ,.0f",
         "first pass": "ours/first ,.0f", "later": "ours/later ,.0f", "ratio": "ours/later : plain/evaluation .1f",
         "plain training": "plain/training ,.0f", "training": "ours/training ,.0f",
         "ratio of training": "ours/training : plain/training .1f"}),
    "training": ("images_per_second", "", {"model": "model", "batch": "batch_size", **MACHINE},
        {"plain, images/s": "plain ,.0f", "ours": "ours ,.0f", "ratio": "ratio .2f", "compiled": "compiled ,.0f"}),
    "scoring": ("times_ours", "times_ours", MACHINE | {"attributes": "attributes", "method": "*"},
        {"times ours": "times_ours/* .2f", "in CPU time": "median_cpu_seconds/* : median_cpu_seconds/ours .2f"}),
    "processes": ("speed", "speed", {"model": "model", "processes": "processes", **MACHINE, "work": "*"},
        {"one process, s": "one_seconds/* .2f", "several, s": "several_seconds/* .2f", "speed": "speed/* .2f"}),
    "erasure_cost": ("erase_seconds", "", RUN | {"depth": "depth", "hardware": "hardware"},
        {"images": "erase_images ,.0f", "erasure, s": "erase_seconds .2f", "epoch of training, s": "epoch_seconds .2f",
         "oracle's epochs": "oracle_epochs .0f", "share of an oracle": "ratio .2%"}),
    "kill": ("undisturbed_seconds", "", {"work": "work", "harm": "harm", "hardware": "hardware"},
        {"runs": "runs .0f", "struck at work": "struck .0f", "half files": "half .0f", "unequal": "unequal .0f",
         "left over": "left .0f", "more words than a line": "words .0f"}),
    "erasure_ablations": ("worst_gap", "", RUN | {"setting": "setting"},
        {"linear − oracle": "worst_gap +.3f", "worst attack − oracle": "any_gap +.3f",
         "worst attack": "any_attack s", "kept labels − oracle": "kept_labels_gap +.3f", "kept": "kept_loss +.3f",
         "s": "seconds .1f", "verdict": "verdict s"}),
    "soak": ("growth_bytes", "", {"model": "model", **MACHINE},
        {"rounds": "rounds ,.0f", "growth, bytes": "growth_bytes ,.0f", "threads": "left/threads .0f",
         "open files": "left/files .0f", "hooks": "left/hooks .0f"}),
    "networks_tried": ("steps", "", {"network": "model", "px": "img_size"},
        {**{name: f"steps/{step}/seconds .0f" for name, step in TRIED.items()},
         **{f"{name}: why not": f"steps/{step}/line s" for name, step in TRIED.items()}}),
    "gpu_table": ("stages", "stages", {"model": "model", "batch": "batch_size", "stage": "*", **MACHINE},
        {"s": "stages/*/seconds .4f", "images/s": "stages/*/images_per_second ,.0f",
         "peak memory, bytes": "stages/*/peak_bytes ,.0f", "waits of the host": "stages/*/waits ,.0f"}),
}  # fmt: skip
PARTS = {  # tables of a kind
    "methods": [["_dataset"], ["_dataset", "run"]],
    "attacks": [["_file"], ["_dataset", "run"]],
    **dict.fromkeys(["heads", "audit", "networks"], [["_file"]]),
}
