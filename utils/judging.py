"""A network judged on some rows, and the tables that show it."""

from utils import run
from utils.metrics import figures_per_head
from utils.training import predict

MEASURES = {
    "tpr_all_positive": "TPR on all-positive",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
}


def judge(model, data, rows, batch_size, device, bf16=False):
    """{attribute: figures of `metrics.figures_per_head`} of a network on some rows of a data set."""
    logits, labels = predict(model, data, rows, batch_size, device, bf16=bf16)
    return figures_per_head(logits.numpy(), labels.numpy(), data.attributes)


def shown(value):
    """A figure with three digits, "-" where it is undefined."""
    return "-" if value is None else f"{value:.3f}"


def table_of(heads):
    """Aligned text: a row per head of {attribute: figures}."""
    rows = [[name, row["n"], *(shown(row[key]) for key in MEASURES)] for name, row in heads.items()]
    return run.table(rows, ["attribute", "n", *MEASURES.values()])


def before_after_table(heads, forgotten):
    """Aligned text: a row per head of {attribute: {"before": figures, "after": figures}}, forgotten ones marked."""
    rows = []
    for name, sides in heads.items():
        pairs = [f"{shown(sides['before'][key])} -> {shown(sides['after'][key])}" for key in MEASURES]
        rows.append([f"{name} (forgotten)" if name in forgotten else name, sides["after"]["n"], *pairs])
    return run.table(rows, ["attribute", "n", *MEASURES.values()])
