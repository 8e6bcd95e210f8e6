"""As much of a Kubernetes API as Snakemake speaks: jobs run as processes, in an empty folder.

It keeps every job's specification, so that tests can tell what a cluster would have been asked for.
"""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml


class Kubernetes:
    """A server on loopback; `kubeconfig` is the file that leads clients to it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.jobs: dict[str, dict] = {}
        self.processes: dict[str, subprocess.Popen] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.kubeconfig = folder / "kubeconfig"
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        named = {
            "clusters": {"cluster": {"server": address}},
            "contexts": {"context": {"cluster": "here", "user": "here"}},
            "users": {"user": {}},
        }
        text = {key: [{"name": "here", **value}] for key, value in named.items()}
        self.kubeconfig.write_text(yaml.safe_dump(text | {"current-context": "here"}))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End the server and what still runs."""
        for process in self.processes.values():
            process.kill()
        self.server.shutdown()
        self.server.server_close()

    def create(self, job: dict) -> None:
        """Start the job's command as its pod would."""
        name = job["metadata"]["name"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        empty = self.folder / name
        empty.mkdir()
        self.jobs[name] = container
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                [*container["command"], *container["args"]], cwd=empty, env=self.environment,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def status(self, name: str) -> dict:
        """Return the status of a job: running, succeeded or failed."""
        code = self.processes[name].poll()
        return {} if code is None else {"failed": 1} if code else {"succeeded": 1}

    def pods(self, name: str) -> list[dict]:
        """Return the pod of a job, with the state of its only container."""
        code = self.processes[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {"name": "snakemake", "image": "", "imageID": "", "ready": True,
                     "restartCount": 0, "state": state}  # fmt: skip
        return [{"metadata": {"name": name}, "status": {"containerStatuses": [container]}}]

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805, the handler is `self` below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/jobs"):
                    api.create(body)
                self._answer(body, 201)

            def do_GET(self) -> None:
                name = self.path.split("job-name%3D")[-1].split("/")
                if self.path.endswith("/status"):
                    self._answer({"status": api.status(name[-2])})
                elif self.path.split("?")[0].endswith("/log"):
                    job = self.path.split("/pods/")[1].split("/")[0]
                    self._answer((api.folder / f"{job}.log").read_text())
                else:
                    self._answer({"items": api.pods(name[-1])})

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer({"status": "Success"})

            def _answer(self, body: object, code: int = 200) -> None:
                text = body if isinstance(body, str) else json.dumps(body)
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler
