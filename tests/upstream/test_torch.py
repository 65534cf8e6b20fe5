"""Whether torch.distributed still does what `summexp.upstream.torch` leans on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch.distributed as dist

from summexp.upstream.torch import LAUNCHER_HAS_STORE, is_of_collective

JOIN = """
import torch.distributed as dist
dist.init_process_group("gloo")
print("joined", dist.get_world_size())
"""


def test_a_rank_uses_the_store_of_its_launcher() -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    environment = {**os.environ, **place, "RANK": "0", "WORLD_SIZE": "1"}
    ended = [
        subprocess.run(
            [sys.executable, "-c", JOIN],
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=120,
        )
        for more in (LAUNCHER_HAS_STORE, {})
    ]
    assert ended[0].stdout == "joined 1\n", ended[0].stderr
    assert "EADDRINUSE" in ended[1].stderr, "without the variables, rank 0 created no store"


def test_an_error_of_the_store_is_known() -> None:
    with pytest.raises(dist.DistError) as caught:
        dist.TCPStore("127.0.0.1", 1, is_master=False, timeout=dist.default_pg_timeout / 3600)
    assert is_of_collective(caught.value)
    assert not is_of_collective(RuntimeError("something else"))
    assert not is_of_collective(ConnectionError("gloo"))
