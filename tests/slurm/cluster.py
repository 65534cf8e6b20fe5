"""A real Slurm of two nodes on this machine: all its daemons and files are of one folder.

Nothing of the machine's own is touched: other ports, another key and socket for munge, and names of
nodes that need no entry in /etc/hosts.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

_HOST = socket.gethostname().partition(".")[0]
NODES = (_HOST, f"{_HOST}-other")
"""The first by the alphabet is where the rendezvous is, and so has to be a name that resolves."""
CORES = 4
"""Of each node, whatever the machine has."""

_CONF = """\
ClusterName=summexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
# A requeued job waits until the credential of its first start has expired: 2 minutes, if not said
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
KillWait=5
SlurmdParameters=config_overrides
NodeName={nodes[0]},{nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 \
Port=[{ports[1]}-{ports[2]}] CPUs={cores} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def why_not() -> str | None:
    """Return why Slurm cannot be started here, or None."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "slurmd starts jobs as root only"
    try:
        socket.gethostbyname(_HOST)
    except OSError:
        return f"this machine's name, {_HOST}, does not resolve"
    return None


class Cluster:
    """Started with `start`, and stopped whatever happens with `stop`."""

    def __init__(self) -> None:
        # Not pytest's folder, which only root may enter: munged refuses to work in such a one.
        self.folder = Path(tempfile.mkdtemp(prefix="summexp-slurm-"))
        self.folder.chmod(0o755)
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir()
        text = _CONF.format(
            folder=self.folder, host=_HOST, nodes=NODES, cores=CORES, ports=_free_ports(3)
        )
        Path(self.environment["SLURM_CONF"]).write_text(text, encoding="utf-8")
        self._start_munge()
        self.run("slurmctld")
        for node in NODES:
            self.run("slurmd", "-N", node)
        until = time.monotonic() + 30
        while self.run("sinfo", "-h", "-t", "idle", "-o", "%D").strip() != "2":
            assert time.monotonic() < until, self._logs()
            time.sleep(0.1)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        names = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        files = [f"--{option}={self.folder}/munge.{name}" for option, name in names.items()]
        self.run("munged", "--force", f"--key-file={key}", *files)

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands; return what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that waits or runs, by its name in the array."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def _logs(self) -> str:
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))
        )

    def stop(self) -> None:
        """End the daemons, and what they still run."""
        with suppress(Exception):
            self.run("scancel", "--user=root")
            until = time.monotonic() + 20
            while self.jobs() and time.monotonic() < until:
                time.sleep(0.2)
        names = [*(f"slurmd.{node}.pid" for node in NODES), "slurmctld.pid", "munge.pid"]
        numbers = [int(path.read_text()) for name in names if (path := self.folder / name).exists()]
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)
        until = time.monotonic() + 10
        while any(Path(f"/proc/{number}").exists() for number in numbers):
            if time.monotonic() > until:
                for number in numbers:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                break
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Return ports in a row: Slurm takes those of several nodes as a range."""
    # Below where Linux takes the ports of connections, and above those of known services.
    for first in range(15_000 + os.getpid() % 5_000, 30_000, count):
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return list(range(first, first + count))
    raise AssertionError("no port is free")
