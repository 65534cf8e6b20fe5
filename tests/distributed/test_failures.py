from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

import httpx2
import pytest
import torch
import torch.distributed as dist

from summexp.distributed.failures import has_lost_peer
from summexp.errors import RunError


def _lose_a_peer(port: int, report: Path) -> None:
    """Meet another rank, which then ends, and reduce with it."""
    store = dist.TCPStore("127.0.0.1", port, is_master=True)
    dist.init_process_group("gloo", store=store, rank=0, world_size=2)
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    try:
        for _ in range(1000):
            dist.all_reduce(torch.ones(1))
    except RuntimeError as error:
        alone, both = has_lost_peer(error, 1), has_lost_peer(error, 2)
        report.write_text(f"{type(error).__name__} {alone} {both}")
    os._exit(0)


def _end_early(port: int) -> None:
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=1, world_size=2)
    dist.all_reduce(torch.ones(1))
    os._exit(3)


def test_the_end_of_another_rank_is_known(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    report = tmp_path / "report"
    ranks = [
        spawn.Process(target=_lose_a_peer, args=(port, report)),
        spawn.Process(target=_end_early, args=(port,)),
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
    assert report.read_text() == "RuntimeError False True"


def test_a_store_that_cannot_be_reached_is_another_rank() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(dist.DistError) as caught:
        dist.TCPStore("127.0.0.1", port, is_master=False, timeout=dist.default_pg_timeout / 3600)
    assert has_lost_peer(caught.value, 2)
    assert not has_lost_peer(caught.value, 1)


def test_no_server_is_no_other_rank() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(httpx2.ConnectError) as caught:
        httpx2.get(f"http://127.0.0.1:{port}")
    assert "refused" in str(caught.value)
    assert not has_lost_peer(caught.value, 8)


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(32, "Broken pipe"),
        ConnectionResetError(104, "Connection reset by peer"),
        OSError(116, "nfs: connection closed"),
        RuntimeError("the tracker says: connection refused"),
        ValueError("there is no backend nccl or gloo"),
        RunError("Connection closed by peer, says gloo"),
    ],
)
def test_other_errors_with_such_words_are_no_other_rank(error: Exception) -> None:
    assert not has_lost_peer(error, 8)
