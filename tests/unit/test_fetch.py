"""Downloads from a real server on this machine: what arrives is verified, or refused."""

import hashlib
import os
import re
import socket
import subprocess
import threading
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainstudy import data, fetch, gpt1
from trainstudy.fetch import FetchError, Source

CONTENT = os.urandom(3_000) + b"\r\n\0 the end"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves files from a dict; the first `drops` answers break off halfway.

    With `busy` the first answer is that status.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, site: "Site", *args) -> None:
        self.site = site
        super().__init__(*args)

    def do_GET(self) -> None:
        self.site.asked[self.path] += 1
        if self.path not in self.site.files:
            self.send_error(404)
            return
        content = self.site.files[self.path]
        if self.site.busy and self.site.asked[self.path] == 1:
            self.send_error(self.site.busy)
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.close_connection = True
        if self.path.startswith("/chunked/"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for begin in range(0, len(content), 700):
                chunk = content[begin : begin + 700]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        dropped = self.site.asked[self.path] <= self.site.drops
        self.wfile.write(content[: len(content) // 2] if dropped else content)

    def log_message(self, *args) -> None:
        pass


class Site:
    def __init__(self) -> None:
        self.files = {"/file": CONTENT, "/chunked/file": CONTENT}
        self.drops = self.busy = 0
        self.asked: Counter[str] = Counter()
        self.url = ""


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Collect the pauses instead of sleeping."""
    pauses: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "downloads/deep/file.bin"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# From the source itself


@pytest.mark.parametrize("path", ["/file", "/chunked/file"])
@pytest.mark.parametrize(
    "marks", [{"sha256": SHA256}, {"blob": BLOB}, {"sha256": SHA256, "size": len(CONTENT)}]
)
def test_the_pinned_file_arrives_and_nothing_else(site, target, path, marks):
    fetch.fetch("unused", Source(site.url + path, **marks), target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {target.name}
    assert site.asked[path] == 1


def test_a_dropped_connection_is_tried_again_after_growing_pauses(site, target, pauses, capsys):
    site.drops = 3
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT
    assert site.asked["/file"] == 4
    assert pauses == [2, 4, 8]
    assert names(target.parent) == {target.name}
    assert "\x1b" not in capsys.readouterr().err  # bars that were left open move the cursor


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again(site, target, pauses, status):
    site.busy = status
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT
    assert pauses == [2]


def test_a_connection_that_always_drops_is_given_up(site, target, pauses):
    site.drops = 99
    with pytest.raises(FetchError) as caught:
        fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert site.asked["/file"] == fetch.ATTEMPTS == 1 + len(pauses)
    assert f"{site.url}/file could not be downloaded (attempt 5 of 5)" in str(caught.value)
    assert "Set the key 'mirror'" in str(caught.value)
    assert names(target.parent) == set()


def test_a_host_that_does_not_answer_is_named_with_the_cure(site, target, pauses):
    with socket.socket() as deaf:  # bound, but it does not listen
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/file"
        with pytest.raises(FetchError, match="No network here") as caught:
            fetch.fetch("unused", Source(url, sha256=SHA256), target)
    assert url in str(caught.value)


def test_a_missing_file_fails_at_once(site, target, pauses):
    with pytest.raises(FetchError, match="404") as caught:
        fetch.fetch("unused", Source(f"{site.url}/none", sha256=SHA256), target)
    assert f"{site.url}/none" in str(caught.value)
    assert site.asked["/none"] == 1
    assert pauses == []
    assert names(target.parent) == set()


@pytest.mark.parametrize(
    ("marks", "mark", "expected", "found"),
    [
        ({"sha256": "0" * 64}, "SHA-256", "0" * 64, SHA256),
        ({"blob": "1" * 40}, "git blob id", "1" * 40, BLOB),
        ({"sha256": SHA256, "size": 17}, "size in bytes", "17", str(len(CONTENT))),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_put_aside(site, target, marks, mark, expected, found):
    with pytest.raises(FetchError) as caught:
        fetch.fetch("unused", Source(f"{site.url}/file", **marks), target)
    message = str(caught.value)
    assert f"{target.name} from {site.url}/file is not the expected file" in message
    assert f"{mark} expected: {expected}\n" in message
    assert f"{mark} found:    {found}\n" in message
    rejected = target.with_name("file.bin.rejected")
    assert str(rejected) in message
    assert names(target.parent) == {rejected.name}
    assert rejected.read_bytes() == CONTENT


def test_a_rejected_file_is_in_nobodys_way(site, target):
    target.parent.mkdir(parents=True)
    target.with_name("file.bin.rejected").write_bytes(b"of last time")
    target.with_name("file.bin.part").write_bytes(b"of a run that was killed")
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("marks", [{}, {"size": len(CONTENT)}])
def test_a_source_without_a_checksum_is_refused(site, target, marks):
    with pytest.raises(FetchError, match="pinned by no checksum"):
        fetch.fetch("unused", Source(f"{site.url}/file", **marks), target)
    assert not target.exists()
    assert not target.with_name("file.bin.part").exists()
    assert not site.asked  # nothing was downloaded in vain


# From a mirror

PATH = "hub/some/file.bin"


def a_mirror(folder: Path, content: bytes = CONTENT, line: str = f"{SHA256}  {PATH}\n") -> Path:
    file = folder / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  hub/another.bin\n{line}")
    return folder


@pytest.fixture(params=["folder", "folder/", "file://", "http://", "http://…/"])
def copy(request, tmp_path, site) -> str:
    """Return a mirror in each of the ways in which it may be given."""
    folder = a_mirror(tmp_path / "a mirror")
    site.files |= {f"/sub/{name}": (folder / name).read_bytes() for name in ("SHA256SUMS", PATH)}
    return {
        "folder": str(folder),
        "folder/": f"{folder}/",
        "file://": folder.as_uri(),
        "http://": f"{site.url}/sub",
        "http://…/": f"{site.url}/sub/",
    }[request.param]


# The mirror's own checksum counts, not that of the original.
ORIGINAL = Source("http://original.invalid/file.bin", size=1, sha256="f" * 64)


def test_a_mirror_is_asked_instead_of_the_source(copy, target):
    fetch.fetch(PATH, ORIGINAL, target, mirror=copy)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {target.name}


def test_what_a_mirror_holds_is_checked_against_its_own_sums(tmp_path, target):
    folder = a_mirror(tmp_path / "mirror", content=b"changed since")
    with pytest.raises(FetchError) as caught:
        fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert f"SHA-256 expected: {SHA256}" in str(caught.value)
    assert str(folder / PATH) in str(caught.value)
    assert names(target.parent) == {"file.bin.rejected"}
    assert (folder / PATH).read_bytes() == b"changed since"


@pytest.mark.parametrize("mark", ["  ", " *"])
def test_checksums_of_text_and_binary_mode_are_read(tmp_path, target, mark):
    folder = a_mirror(tmp_path / "mirror", line=f"{SHA256}{mark}{PATH}\n\n")
    fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert target.read_bytes() == CONTENT


def test_a_file_that_the_mirror_does_not_list_is_refused(tmp_path, target):
    folder = a_mirror(tmp_path / "mirror", line="")
    with pytest.raises(FetchError, match="SHA256SUMS file has no such line") as caught:
        fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert PATH in str(caught.value)
    assert str(folder) in str(caught.value)
    assert names(target.parent) == set()


def test_a_file_that_the_mirror_lists_but_lacks_is_named(tmp_path, target):
    folder = a_mirror(tmp_path / "mirror")
    (folder / PATH).unlink()
    with pytest.raises(FetchError, match="does not exist") as caught:
        fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert str(folder / PATH) in str(caught.value)
    assert names(target.parent) == set()


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_missing_mirror_names_the_key(tmp_path, target, prefix):
    with pytest.raises(FetchError, match="Is the key 'mirror' right") as caught:
        fetch.fetch(PATH, ORIGINAL, target, mirror=f"{prefix}{tmp_path}/none")
    assert f"{tmp_path}/none/SHA256SUMS does not exist" in str(caught.value)


def test_checksums_left_by_a_killed_run_are_replaced(tmp_path, target):
    folder = a_mirror(tmp_path / "mirror")
    target.parent.mkdir(parents=True)
    target.with_name("file.bin.part.sums").write_text(f"{'1' * 64}  {PATH}\n")
    fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert names(target.parent) == {target.name}


# Recognising a file


@pytest.mark.parametrize("content", [b"", b"hello\n", CONTENT])
def test_git_blob_is_the_id_that_git_gives(tmp_path, content):
    file = tmp_path / "file"
    file.write_bytes(content)
    said = subprocess.run(["git", "hash-object", "--no-filters", file], capture_output=True)
    assert fetch.git_blob(file) == said.stdout.decode().strip()


def test_git_blob_of_a_file_longer_than_a_block(tmp_path):
    file, content = tmp_path / "file", bytes(range(256)) * 5000  # 1.28 MB; a block is 1 MiB
    file.write_bytes(content)
    assert fetch.git_blob(file) == hashlib.sha1(b"blob 1280000\0" + content).hexdigest()


@pytest.mark.parametrize(
    ("marks", "pinned"),
    [
        ({"sha256": SHA256}, True),
        ({"blob": BLOB}, True),
        ({"sha256": SHA256, "size": len(CONTENT), "blob": BLOB}, True),
        ({"sha256": SHA256, "size": 1}, False),
        ({"sha256": SHA256[::-1], "size": len(CONTENT)}, False),
        ({"sha256": SHA256, "blob": "0" * 40}, False),
    ],
)
def test_is_pinned_compares_every_mark(tmp_path, marks, pinned):
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert fetch.is_pinned(file, Source("http://original.invalid", **marks)) is pinned


def test_without_a_checksum_no_file_is_the_pinned_one(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    with pytest.raises(FetchError, match="pinned by no checksum"):
        fetch.is_pinned(file, Source("http://original.invalid", size=len(CONTENT)))


@pytest.mark.parametrize("path", gpt1.BPE_SOURCES)
def test_the_vocabulary_of_the_real_mirror_is_the_pinned_original(mirror, tmp_path, path):
    source = gpt1.BPE_SOURCES[path]
    fetch.fetch(path, source, tmp_path / path, mirror=str(mirror))
    assert fetch.sha256(tmp_path / path) == source.sha256
    assert fetch.is_pinned(tmp_path / path, source)


@pytest.mark.parametrize("dataset", data.names())
def test_every_source_of_the_study_is_pinned_to_one_revision(dataset):
    for path, source in (data.find(dataset).SOURCES | gpt1.EMBEDDING_SOURCES).items():
        assert source.url.startswith("https://")
        assert re.search("/[0-9a-f]{40}/", source.url)  # a commit, never a moving branch
        assert Path(source.url).name == Path(path).name
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.blob is None or re.fullmatch("[0-9a-f]{40}", source.blob)
        assert source.sha256 or source.blob
