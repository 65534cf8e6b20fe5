"""Number of CPU threads of a rank. Standard library only.

Tested in tests/integration/test_ranks.py.
"""

from __future__ import annotations

import os
import sys

OMP_NUM_THREADS = "OMP_NUM_THREADS"
"""Environment variable that OpenMP reads once, when torch is imported."""


def threads_of_rank(local_size: int) -> int:
    """Return the number in `OMP_NUM_THREADS`, else a rank's share of the cores of this job.

    Args:
        local_size: how many ranks this node has.
    """
    # OpenMP allows one number per level of nested loops; torch uses the first.
    given = os.environ.get(OMP_NUM_THREADS, "").partition(",")[0].strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    # A cluster may bind a job to some of the machine's cores.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // local_size)
