import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.reports.conftest import score

from summexp.reports.terminal import print_summary

MakeRun = Callable[..., Path]


def printed(folder: Path, **options: object) -> str:
    file = io.StringIO()
    print_summary(folder, console=Console(file=file, width=80, **options))  # type: ignore[arg-type]
    return file.getvalue()


def test_scores_stand_beside_interval_and_baseline(run_folder: Path) -> None:
    lines = [" ".join(line.split()) for line in printed(run_folder).splitlines()]
    start = lines.index("Validation 300 rows, loss 0.988, 13.2 tokens a summary")
    assert lines[start + 1 : start + 5] == [
        "score value 95 % interval lead-1",
        "ROUGE-1 71.23 69.50 to 72.90 30.10",
        "ROUGE-2 55.50 53.00 to 57.80 14.20",
        "ROUGE-L 66.67 64.90 to 68.30 27.30",
    ]


def test_wide_characters_fit_into_80_cells(run_folder: Path) -> None:
    lines = printed(run_folder).partition("Written")[0].splitlines()
    assert max(map(cell_len, lines)) <= 80
    (document,) = [line for line in lines if "서울시는" in line]
    assert document.rstrip().endswith("…")
    assert cell_len(document.rstrip()) >= 76
    texts = " ".join(" ".join(lines).split())
    assert "prediction 서울시 한강 공원 야간 조명 교체" in texts
    assert "[31mred" in texts


def test_one_of_the_best_and_one_of_the_worst_are_shown(run_folder: Path) -> None:
    lines = printed(run_folder).splitlines()
    (best,) = [n for n, line in enumerate(lines) if line.startswith("Best by ROUGE-L")]
    (worst,) = [n for n, line in enumerate(lines) if line.startswith("Worst by ROUGE-L")]
    assert lines[best].rstrip() == "Best by ROUGE-L  72.73"
    assert "Tags & entities" in "".join(lines[worst:])
    assert "京都市" not in "".join(lines)


def test_a_model_below_its_baseline_is_called_so(make_run: MakeRun) -> None:
    scores = [score("rougeL", 66.6666, 64.9, 68.3, lead=("lead1", 80.0))]
    below = printed(make_run("below", scores=scores))
    assert " The model is below the lead-1 baseline (ROUGE-L 66.67, lead-1 80.00)." in below
    above = printed(make_run("above"))
    assert " The model is above the lead-1 baseline (ROUGE-L 66.67, lead-1 27.30)." in above


def test_a_log_gets_no_escape_codes_and_a_terminal_does(run_folder: Path) -> None:
    assert "\x1b" not in printed(run_folder)
    coloured = printed(run_folder, force_terminal=True, color_system="standard")
    assert "\x1b[1m" in coloured
    assert "\x1b[31mred" not in coloured


def test_paths_are_never_broken(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("a-run-with-a-name-" + "of-many-words-" * 8)
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    lines = printed(folder).splitlines()
    written = [line.split(maxsplit=1) for line in lines[lines.index("Written") + 1 :]]
    assert [path for _, path in written] == [
        folder.name,
        f"{folder.name}/all_results.json",
        f"{folder.name}/config.yaml",
        f"{folder.name}/run.json",
    ]
    lines = printed(folder, force_terminal=True, color_system=None).splitlines()
    assert lines[lines.index("Written") + 1 :] == [
        f" {folder.name}",
        " model       .",
        " scores      all_results.json",
        " config      config.yaml",
        " record      run.json",
    ]


def test_a_path_elsewhere_is_shown_in_full(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert f"{run_folder}/run.json" in printed(run_folder)


def test_markup_in_a_text_is_text(make_run: MakeRun) -> None:
    example = {"id": "0", "prediction": "[bold]no[/bold] [/] :smile:", "reference": None}
    assert "prediction [bold]no[/bold] [/] :smile:" in printed(make_run(examples=[example]))


def test_three_examples_at_most(make_run: MakeRun) -> None:
    examples = [{"id": str(number), "prediction": f"summary {number}"} for number in range(5)]
    text = printed(make_run(examples=examples))
    assert "summary 2" in text
    assert "summary 3" not in text


def test_a_run_without_scores_reports_where_its_files_are(failed_folder: Path) -> None:
    lines = printed(failed_folder).split("\n")
    assert lines[:2] == ["", "Written"]
    assert "Examples" not in lines
