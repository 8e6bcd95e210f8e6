"""Real Snakemake, forked from a process that has imported it: half of what a dry run takes."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path


class Forks:
    """Starts Snakemake, one at a time, as `python -m snakemake` does."""

    def __init__(self) -> None:
        # Unbuffered: nothing may be read ahead, or select would not see it.
        self.parent = subprocess.Popen(
            [sys.executable, __file__], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def snakemake(
        self, *arguments: str, folder: Path, environment: dict[str, str], output: Path, timeout: int
    ) -> int:
        """Return the exit status; what was printed is in the file `output`."""
        start = {"arguments": arguments, "folder": str(folder), "environment": environment}
        self.parent.stdin.write(json.dumps(start | {"output": str(output)}).encode() + b"\n")
        pid = int(self.parent.stdout.readline())
        if not select.select([self.parent.stdout], [], [], timeout)[0]:
            os.killpg(pid, signal.SIGKILL)
            self.parent.stdout.readline()
            raise subprocess.TimeoutExpired(["snakemake", *arguments], timeout, output.read_text())
        return int(self.parent.stdout.readline())

    def end(self) -> None:
        self.parent.communicate()


def serve() -> None:
    """Take starts from standard input, one a line; answer with the process, then its status."""
    from snakemake.cli import main

    for line in sys.stdin:
        start = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(start)
            main(start["arguments"])
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def become(start: dict) -> None:
    """Take the place, environment and output of a process of its own, which leads a group."""
    os.setsid()
    os.chdir(start["folder"])
    os.environ.clear()
    os.environ.update(start["environment"])
    output = os.open(start["output"], os.O_WRONLY)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, number)
    sys.argv = ["snakemake", *start["arguments"]]
    sys.path[0] = start["folder"]  # instead of that of this file


if __name__ == "__main__":
    serve()
