from conftest import run_here
from small_page import make_results


def test_the_page_is_written_again_from_the_files_of_a_run(tmp_path):
    make_results(tmp_path)
    done = run_here("tools.report", "results/small/Bald", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "look at results/small/Bald/report.html\n"), done.stderr
    assert "data-graph" in (tmp_path / "results" / "small" / "Bald" / "report.html").read_text(encoding="utf-8")


def test_a_folder_without_results_is_one_line_and_no_file(tmp_path):
    done = run_here("tools.report", "nothing/here", folder=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "nothing to report on" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_page_never_overwrites_what_it_reads(tmp_path):
    make_results(tmp_path)
    results = tmp_path / "results" / "results.jsonl"
    before = results.read_bytes()
    words = ("results/small/Bald", "--results", "results/results.jsonl", "--out", "results/results.jsonl")
    done = run_here("tools.report", *words, folder=tmp_path)
    assert done.returncode == 2 and "the page would overwrite" in done.stderr and results.read_bytes() == before
