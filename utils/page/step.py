"""The last part of step 3: its line of results, its pictures, the page, and what to do next."""

from utils.common import distributed
from utils.page.kept_record import keep_record
from utils.page.page import write_page
from utils.report import run_record
from utils.report.next_steps import after_audit, after_unlearning


@distributed.by_first
def report_unlearning(line, task, networks, data, folder, flags):
    """Append the line of a run, draw and print before against after, write the page, say what to do next.

    Args: line: of `run_record.unlearning_line`; task: `Task`; networks: {"original", "unlearned"} on its device; data:
        `ImageDataset`; folder: of the method's pictures; flags: {flag: value} of step 3
    """
    run_record.report_unlearning(line, folder, flags["results"])
    verdicts, look = line.get("verdict", {}), folder
    if bool(flags["audit"]) if flags["report"] is None else flags["report"]:
        pair = {name: networks[name] for name in ("original", "unlearned")}
        keep_record(folder, task, pair, data, flags["faces"])
        look = write_page(folder.parent, flags["results"], flags["graph"] or task.graph_file)
    print(after_audit(look, verdicts, flags) if verdicts else after_unlearning(look, flags))
