from __future__ import annotations

import shlex

import pytest

from summexp.check import check
from summexp.command_line import parse
from summexp.errors import ConfigError
from summexp.launch.failed_jobs import FailedJob, SweepFailedError

JOBS = [["debug=tiny", f"seed={seed}"] for seed in (1, 2, 3)]


def failed(number: int, exit_code: int, reason: str = "the disk is full") -> FailedJob:
    overrides = [*JOBS[number], "training.do_eval=False"]
    folder = f"sweep/{number}"
    return FailedJob(
        number=number, overrides=overrides, folder=folder, exit_code=exit_code, reason=reason
    )


def test_each_failed_job_is_named_with_what_is_its_own() -> None:
    wrong = "1 problem:\n  data.train_file: is gone\n    Bring it back."
    error = SweepFailedError([failed(0, 1), failed(2, 2, wrong)], JOBS)
    assert str(error).splitlines() == [
        "2 of 3 jobs failed:",
        "job 0 (seed=1) failed",
        "  in sweep/0: the disk is full",
        "job 2 (seed=3) failed",
        "  in sweep/2: 1 problem: data.train_file: is gone",
    ]


@pytest.mark.parametrize(
    ("codes", "exit_code"), [([2, 2, 2], 2), ([2, 2], 1), ([1], 1), ([2, 1, 2], 1), ([1, 1, 1], 1)]
)
def test_the_exit_code_is_that_of_a_failure_where_any_job_ran(
    codes: list[int], exit_code: int
) -> None:
    jobs = [failed(number, code) for number, code in enumerate(codes)]
    assert SweepFailedError(jobs, JOBS).exit_code == exit_code


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["seed=1,2", "output_dir=o/s${seed}"], "output_dir=o"),
        (["seed=1,2", "output_dir=s${seed}"], "output_dir=sweep"),
        # Of one value too: the sweep itself would not have it.
        (["seed=range(7,8)", "output_dir=data/a b/${seed}/x"], "'output_dir=data/a b'"),
        (["data=news_briefs,xsum", "output_dir=o/${data.name}"], "output_dir=o"),
    ],
)
def test_an_output_dir_that_differs_between_jobs_is_rejected(words: list[str], advice: str) -> None:
    quoted = [f'output_dir="{w[11:]}"' if w.startswith("output_dir") else w for w in words]
    with pytest.raises(ConfigError) as caught:
        check(parse(["-m", "debug=tiny", *quoted]))
    (problem,) = caught.value.problems
    assert problem.key == "output_dir"
    assert "is the folder of the sweep" in problem.what
    assert problem.hint == f"The jobs are written to 0/, 1/, … below it; set {advice}"
    # The advice works; the shell takes the quotes away.
    (word,) = shlex.split(advice)
    check(parse(["-m", "debug=tiny", *words[:-1], word]))


def test_an_output_dir_that_is_the_same_for_all_jobs_is_taken() -> None:
    jobs = check(parse(["-m", "debug=tiny", "seed=1,2", "output_dir=o/${debug.name}"]))
    assert {job.config.output_dir for job in jobs} == {"o/tiny"}
    (job,) = check(parse(["debug=tiny", "seed=1", "output_dir=o/s${seed}"]))
    assert job.config.output_dir == "o/s1"
