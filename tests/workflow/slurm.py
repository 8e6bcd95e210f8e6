"""A real Slurm on this machine's loopback: munged, slurmctld, slurmd, and one pretend GPU.

It installs nothing and writes into one folder only. There is no accounting database and there are
no cgroups; memory beyond what was asked for is noticed once a second.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/none
MinJobAge=3600
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MessageTimeout=60
BatchStartTimeout=120
EnforcePartLimits=ALL
GresTypes=gpu
{bind}
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:1
PartitionName=all Nodes=node Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=node MaxTime=INFINITE State=UP
"""


class SlurmMissing(Exception):  # noqa: N818, no error: nobody has to install it
    """Slurm is not installed on this machine; the message says what to install."""


class SlurmError(Exception):
    """Slurm is installed and does not work; the message says why."""


class Slurm:
    """A cluster of one node with 4 CPUs, 16 GB and one GPU, as far as Slurm knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Debian keeps daemons where only root looks. The executor plugin drops SLURM_CONF from the
        # environment before its own srun, so an srun that sets it again stands first on the PATH.
        self.path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.environment = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": self.path}

    def start(self) -> None:
        """Start the daemons and wait until the node is idle.

        Raises SlurmMissing where programs are missing, SlurmError where they do not start.
        """
        missing = [name for name in PROGRAMS if not shutil.which(name, path=self.path)]
        if missing:
            raise SlurmMissing(
                f"Slurm is not installed ({', '.join(missing)}); on Debian: "
                "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
            )
        self._write_files()
        self._run(
            "munged", f"--key-file={self.folder}/munge/key", f"--socket={self.folder}/munge/socket",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munge/seed",
        )  # fmt: skip
        self._run("slurmctld")
        self._run("slurmd", "-N", "node")
        deadline = time.monotonic() + 120
        while self._state() != "idle":
            if time.monotonic() > deadline:
                log = (self.folder / "slurmctld.log").read_text()[-300:]
                raise SlurmError(f"Slurm's node is '{self._state()}' after 120 s: …{log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Cancel what still runs and end the daemons, each by the process id it wrote down.

        They are ended, slurmd first, also where Slurm no longer answers.
        """
        with ExitStack() as daemons:
            for name in ("munged", "slurmctld", "slurmd"):
                daemons.callback(self._end, self.folder / f"{name}.pid", name)
            if (self.folder / "slurmctld.pid").exists():
                self._cancel_all()

    def squeue(self, columns: str, *arguments: str) -> list[list[str]]:
        """Return a row for each job that waits or runs, with the given columns of squeue."""
        done = subprocess.run(
            ["squeue", "--noheader", f"--format={columns.replace(' ', '|')}", *arguments],
            env=self._env(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return [line.strip().split("|") for line in done.stdout.splitlines()]

    def jobs(self, rule: str) -> list[dict[str, str]]:
        """Return what Slurm knows of each job of a rule, finished or not, the first one first."""
        text = self._run("scontrol", "--oneliner", "show", "jobs")
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
        named = [
            job for job in found
            if job.get("Comment", "").startswith(f"rule_{rule}_") or job.get("JobName") == rule
        ]  # fmt: skip
        return sorted(named, key=lambda job: int(job["JobId"]))

    def cancel(self, job: str) -> None:
        """Cancel one job, as a user or an administrator does."""
        self._run("scancel", job)

    def requeue(self, job: str) -> None:
        """Put a running job back into the queue, as preemption does."""
        self._run("scontrol", "requeue", job)

    def _cancel_all(self) -> None:
        subprocess.run(["scancel", "--user", str(os.getuid())], env=self._env(), timeout=30)
        deadline = time.monotonic() + 15
        while self.squeue("%A") and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write_files(self) -> None:
        for name in ("munge", "state", "spool", "bin"):
            (self.folder / name).mkdir()
        (self.folder / "munge/key").write_bytes(os.urandom(1024))
        (self.folder / "munge/key").chmod(0o400)
        host = socket.gethostname().split(".")[0]
        # These switches bind to what the host's name stands for: of use where that is loopback.
        local = socket.gethostbyname(host).startswith("127.")
        bind = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if local else ""
        text = SETTINGS.format(
            folder=self.folder, ports=_free_ports(2), host=host, bind=bind,
            user=pwd.getpwuid(os.getuid()).pw_name,
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)
        device = self.folder / "gpu0"  # a GPU is a device file to Slurm
        device.symlink_to("/dev/null")
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={device}\n")
        real = shutil.which("srun", path=os.environ["PATH"])
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {real} "$@"\n')
        srun.chmod(0o755)

    def _env(self) -> dict[str, str]:
        return os.environ | self.environment

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self._env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=180,
        )  # fmt: skip
        if done.returncode:
            raise SlurmError(f"{command[0]} failed: {done.stdout.strip()[-300:]}")
        return done.stdout

    def _state(self) -> str:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T", "--partition=all"], env=self._env(),
            capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def _end(self, pid_file: Path, name: str) -> None:
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text())
        for sign, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            deadline = time.monotonic() + patience
            while _runs(pid, name) and time.monotonic() < deadline:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, sign)
                time.sleep(0.2)


def _runs(pid: int, name: str) -> bool:
    """Say whether the process is alive and still the daemon that wrote its number down."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == name
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
