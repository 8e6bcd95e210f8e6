"""Downloads from a real server on this machine: what arrives is verified, or refused."""

import contextlib
import datetime
import gzip
import hashlib
import ipaddress
import itertools
import random
import re
import socket
import ssl
import subprocess
import threading
import tracemalloc
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests  # noqa: F401, else the first download imports it, and takes memory for that
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trainstudy import data, fetch, files, gpt1
from trainstudy.fetch import FetchError, Source

CONTENT = random.Random(0).randbytes(3_000) + b"\r\n\0 the end"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves files from a dict; the first `drops` answers break off halfway through what they send.

    With `busy` the first answer is that status. The first part of a path says what else goes wrong.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, site: "Site", *args) -> None:
        self.site = site
        super().__init__(*args)

    def do_GET(self) -> None:
        self.site.asked[self.path] += 1
        self.close_connection = True
        kind, content = self.path.split("/")[1], self.site.files.get(self.path)
        if kind == "windy":
            self.send_chunks(self.site.counted(), 302, Location="/file")
        elif self.path in self.site.redirects:
            self.answer(302, b"", Location=self.site.redirects[self.path])
        elif self.site.busy and self.site.asked[self.path] == 1:
            self.send_error(self.site.busy)
        elif kind == "chunked":
            self.send_chunks(content[begin : begin + 700] for begin in range(0, len(content), 700))
        elif kind == "endless":
            self.send_chunks(itertools.repeat(bytes(100_000)))
        elif kind == "slow":
            self.send_chunks(self.site.slowly())
        elif kind == "large":
            self.send_response(200)
            self.send_header("Content-Length", str(10**15))
            self.end_headers()
            self.wfile.write(CONTENT)
        elif kind == "silent":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            self.site.closing.wait(20)
        elif content is None:
            self.send_error(404)
        else:
            self.send_file(content, kind)

    def send_file(self, content: bytes, kind: str) -> None:
        begin = int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.site.begins.append(begin)
        if begin and kind == "whole":  # a server that knows no ranges
            begin = 0
        if begin and kind == "elsewhere":  # another part than what was asked for
            place = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
            self.answer(206, content, str(len(content)), **place)
            return
        if begin and kind == "gone":
            self.send_error(416)
            return
        length = str(len(content) - begin)
        dropped = self.site.asked[self.path] <= self.site.drops
        part = content[begin:]
        place = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        self.answer(
            206 if begin else 200,
            part[: len(part) // 2] if dropped else part + b"more" * (kind == "more"),
            length,
            **(place if begin else {}),
        )

    def answer(self, status: int, body: bytes, length: str = "0", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", length)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_chunks(self, chunks, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client hangs up
            for chunk in chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args) -> None:
        pass


class Site:
    def __init__(self) -> None:
        self.files = dict.fromkeys(
            [f"{kind}/file" for kind in ("", "/chunked", "/whole", "/elsewhere", "/gone", "/more")],
            CONTENT,
        )
        self.redirects: dict[str, str] = {}
        self.drops = self.busy = self.sent = 0
        self.asked: Counter[str] = Counter()
        self.begins: list[int] = []
        self.closing = threading.Event()
        self.url = ""

    def counted(self):
        """Yield 64 MB, and count what was taken of them."""
        for _ in range(64):
            self.sent += 1_000_000
            yield bytes(1_000_000)

    def slowly(self):
        while not self.closing.wait(0.02):
            yield b"x"


@contextlib.contextmanager
def serve(site: Site, certificate: Path | None = None):
    """Serve a site on this machine, over https where there is a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that hangs up in the middle is expected
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    site.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    yield site
    site.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """Return a file with a key and a certificate for this machine, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def trusted(monkeypatch, certificate):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return certificate


@pytest.fixture
def site(trusted):
    """A source: reached over https."""
    with serve(Site(), trusted) as site:
        yield site


@pytest.fixture
def plain(trusted):
    """A server such as a mirror may be: reached over http."""
    with serve(Site()) as site:
        yield site


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


def test_a_dropped_connection_goes_on_where_it_stopped_after_growing_pauses(
    site, target, pauses, capsys
):
    site.drops = 3
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT
    assert site.asked["/file"] == 4
    assert pauses == [2, 4, 8]
    size = len(CONTENT)
    assert site.begins == [0, size // 2, size // 2 + (size - size // 2) // 2, site.begins[3]]
    assert site.begins[2] < site.begins[3] < size
    assert names(target.parent) == {target.name}
    assert "\x1b" not in capsys.readouterr().err  # bars that were left open move the cursor


@pytest.mark.parametrize("kind", ["whole", "elsewhere", "gone"])
def test_a_server_that_cannot_go_on_leaves_no_mixture(site, target, pauses, kind):
    site.drops = 1
    source = Source(f"{site.url}/{kind}/file", sha256=SHA256)
    if kind != "gone":  # it begins anew
        fetch.fetch("unused", source, target)
        assert target.read_bytes() == CONTENT
    else:  # it says that nothing follows; half a file is not the pinned one
        with pytest.raises(FetchError, match="is not the expected file"):
            fetch.fetch("unused", source, target)
        assert not target.exists()
    assert site.begins == [0, len(CONTENT) // 2]


def test_a_silent_server_counts_as_dropped(site, target, pauses, monkeypatch):
    monkeypatch.setattr(fetch, "SILENCE", 0.3)
    with pytest.raises(FetchError, match=r"timed out[\s\S]*Set the key 'mirror'"):
        fetch.fetch("unused", Source(f"{site.url}/silent/file", sha256=SHA256), target)
    assert len(pauses) == fetch.ATTEMPTS - 1
    assert site.asked["/silent/file"] >= 1  # on a busy machine a handshake may take as long
    assert names(target.parent) == set()


def test_a_server_that_trickles_counts_as_dropped(site, target, pauses, monkeypatch):
    monkeypatch.setattr(fetch, "WINDOW", 0.2)
    with pytest.raises(FetchError, match=r"fewer than 1,000 bytes a second"):
        fetch.fetch("unused", Source(f"{site.url}/slow/file", sha256=SHA256), target)
    assert site.asked["/slow/file"] == fetch.ATTEMPTS
    assert names(target.parent) == set()


@pytest.mark.parametrize("kind", ["endless", "large"])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_server_that_sends_without_end_is_left(site, target, pauses, monkeypatch, kind, size):
    monkeypatch.setattr(fetch, "LARGEST", 5_000_000)
    source = Source(f"{site.url}/{kind}/file", size=size, sha256=SHA256)
    tracemalloc.start()
    with pytest.raises(FetchError, match=f"sends more than the {size or 5_000_000:,} bytes"):
        fetch.fetch("unused", source, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
    assert site.asked[f"/{kind}/file"] == 1
    assert names(target.parent) == set()


def test_what_follows_the_announced_length_is_not_taken(site, target):
    fetch.fetch("unused", Source(f"{site.url}/more/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT


def test_a_disk_that_takes_no_more_is_named_and_not_blamed_on_the_network(
    site, target, pauses, file_limit
):
    message = r"could not be copied to .*File too large"
    with pytest.raises(FetchError, match=message) as caught, file_limit(1_000):
        fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert "mirror" not in str(caught.value)
    assert pauses == []  # trying again frees no space
    assert names(target.parent) == set()


# Redirections


def test_another_host_is_followed_over_https(site, target, trusted):
    with serve(Site(), trusted) as other:
        site.redirects["/moved"] = f"{other.url}/file"
        fetch.fetch("unused", Source(f"{site.url}/moved", sha256=SHA256), target)
        assert other.asked["/file"] == 1
    assert target.read_bytes() == CONTENT


def test_what_another_host_sends_is_verified_all_the_same(site, target, trusted):
    with serve(Site(), trusted) as other:
        other.files["/file"] = b"something else"
        site.redirects["/moved"] = f"{other.url}/file"
        with pytest.raises(FetchError, match="is not the expected file"):
            fetch.fetch("unused", Source(f"{site.url}/moved", sha256=SHA256), target)
    assert not target.exists()


@pytest.mark.parametrize("to", ["http", "file", "ftp"])
def test_nothing_leads_out_of_https(site, plain, target, pauses, tmp_path, to):
    (tmp_path / "file").write_bytes(CONTENT)
    site.redirects["/moved"] = {
        "http": f"{plain.url}/file",
        "file": (tmp_path / "file").as_uri(),
        "ftp": "ftp://127.0.0.1/file",
    }[to]
    with pytest.raises(FetchError, match=f"leads to {to}://.* which is not followed: only https"):
        fetch.fetch("unused", Source(f"{site.url}/moved", sha256=SHA256), target)
    assert site.asked["/moved"] == 1
    assert not plain.asked
    assert names(target.parent) == set()


def test_a_mirror_over_http_cannot_lead_to_a_file(plain, target, pauses, tmp_path):
    plain.redirects["/SHA256SUMS"] = (tmp_path / "any").as_uri()
    with pytest.raises(FetchError, match=r"leads to file:///.*only https:// and http:// from"):
        fetch.fetch(PATH, ORIGINAL, target, mirror=plain.url)
    assert names(target.parent) == set()


def test_a_circle_of_redirections_ends(site, target, pauses):
    site.redirects["/moved"] = f"{site.url}/moved"
    with pytest.raises(FetchError, match="Exceeded 30 redirects"):
        fetch.fetch("unused", Source(f"{site.url}/moved", sha256=SHA256), target)


def test_what_a_redirection_says_beside_its_address_is_not_read(site, target):
    tracemalloc.start()
    fetch.fetch("unused", Source(f"{site.url}/windy/file", sha256=SHA256), target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert target.read_bytes() == CONTENT
    assert peak < 20_000_000
    assert site.sent < 30_000_000  # what the buffers of two sockets took


@pytest.mark.parametrize("hops", [fetch.HOPS, fetch.HOPS + 1])
def test_thirty_redirections_are_followed_and_no_more(site, target, pauses, hops):
    site.redirects = {f"/{hop}": f"{hop - 1}" for hop in range(2, hops + 1)} | {"/1": "/file"}
    source = Source(f"{site.url}/{hops}", sha256=SHA256)
    if hops == fetch.HOPS:
        fetch.fetch("unused", source, target)
        assert target.read_bytes() == CONTENT
    else:
        with pytest.raises(FetchError, match="Exceeded 30 redirects"):
            fetch.fetch("unused", source, target)
        assert not site.asked["/file"]


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_a_source_is_reached_over_https_only(plain, target, scheme):
    url = f"{plain.url}/file".replace("http", scheme)
    with pytest.raises(FetchError, match=f"{url} is not fetched: only https:// is, or a mirror"):
        fetch.fetch("unused", Source(url, sha256=SHA256), target)
    assert not plain.asked
    assert names(target.parent) == set()


def test_a_certificate_of_nobody_we_trust_is_refused(site, target, pauses, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(FetchError, match="certificate verify failed"):
        fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert not site.asked["/file"]


@pytest.mark.parametrize("status", [408, 429, 503])
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
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/file"
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
        ({"sha256": SHA256, "size": 9999}, "size in bytes", "9999", str(len(CONTENT))),
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
def test_a_source_without_a_checksum_is_refused(marks):
    with pytest.raises(FetchError, match="pinned by no checksum"):
        Source("http://original.invalid/file", **marks)


# From a mirror

PATH = "hub/some/file.bin"


def a_mirror(folder: Path, content: bytes = CONTENT, line: str = f"{SHA256}  {PATH}\n") -> Path:
    file = folder / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  hub/another.bin\n{line}")
    return folder


@pytest.fixture(params=["folder", "folder/", "file://", "http://", "http://…/"])
def copy(request, tmp_path, plain) -> str:
    """Return a mirror in each of the ways in which it may be given."""
    folder = a_mirror(tmp_path / "a mirror")
    plain.files |= {f"/sub/{name}": (folder / name).read_bytes() for name in ("SHA256SUMS", PATH)}
    return {
        "folder": str(folder),
        "folder/": f"{folder}/",
        "file://": folder.as_uri(),
        "http://": f"{plain.url}/sub",
        "http://…/": f"{plain.url}/sub/",
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


@pytest.mark.parametrize("mark", ["  ", " *", "  ./", " *./"])
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
    assert str(caught.value).startswith(f"{tmp_path}/none/SHA256SUMS does not exist. Is the key")
    assert str(caught.value).count("Is the key 'mirror' right?") == 1
    assert "A mirror has a file SHA256SUMS on top; docs/clusters.md" in str(caught.value)


@pytest.mark.parametrize("end", ["\r\n", "\n\n"])
@pytest.mark.parametrize("digits", [SHA256, SHA256.upper()])
def test_checksums_from_other_systems_are_read(tmp_path, target, digits, end):
    folder = a_mirror(tmp_path / "mirror", line=f"{digits}  {PATH}{end}")
    fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("line", [f"{SHA256[1:]}  {PATH}", f"zz{SHA256[2:]}  {PATH}", f"  {PATH}"])
def test_a_line_without_a_checksum_is_no_line(tmp_path, target, line):
    folder = a_mirror(tmp_path / "mirror", line=f"{line}\n")
    with pytest.raises(FetchError, match="SHA256SUMS file has no such line"):
        fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))


def test_checksums_that_are_no_text_are_named(tmp_path, target):
    folder = a_mirror(tmp_path / "mirror")
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\0")
    with pytest.raises(FetchError, match="SHA256SUMS is no text; make it anew with sha256sum"):
        fetch.fetch(PATH, ORIGINAL, target, mirror=str(folder))
    assert names(target.parent) == set()


@pytest.mark.parametrize("mirror", ["ftp://host/x", "http://[", "s3://bucket"])
def test_a_mirror_that_is_no_address_names_the_kinds_there_are(target, pauses, mirror):
    with pytest.raises(FetchError, match=r"a mirror is a folder|Is the key 'mirror' right"):
        fetch.fetch(PATH, ORIGINAL, target, mirror=mirror)
    assert names(target.parent) == set()


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize(("limit", "path"), [("LARGEST", PATH), ("LARGEST_SUMS", "SHA256SUMS")])
def test_a_folder_with_a_file_that_is_too_large_is_left(
    tmp_path, target, monkeypatch, prefix, limit, path
):
    folder = a_mirror(tmp_path / "mirror")
    monkeypatch.setattr(fetch, limit, 50)
    with pytest.raises(FetchError, match=f"{path} holds more than the 50 bytes expected of it"):
        fetch.fetch(PATH, ORIGINAL, target, mirror=f"{prefix}{folder}")
    assert names(target.parent) == set()


def test_a_download_is_on_the_disk_before_it_gets_its_name(site, target, monkeypatch):
    renamed = []
    monkeypatch.setattr(files, "sync", lambda path: renamed.append((path.name, target.exists())))
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert renamed == [("file.bin.part", False), (target.parent.name, True)]


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


@pytest.mark.parametrize("path", gpt1.BPE_SOURCES)
def test_the_vocabulary_of_the_real_mirror_is_the_pinned_original(mirror, tmp_path, path):
    source = gpt1.BPE_SOURCES[path]
    fetch.fetch(path, source, tmp_path / path, mirror=str(mirror))
    assert files.sha256(tmp_path / path) == source.sha256
    assert fetch.is_pinned(tmp_path / path, source)


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "pydocs", "wikitext2"])
def test_every_source_of_the_study_is_pinned_to_one_revision(dataset):
    for path, source in (data.find(dataset).SOURCES | gpt1.EMBEDDING_SOURCES).items():
        assert source.url.startswith("https://")
        assert re.search("/[0-9a-f]{40}/", source.url)  # a commit, never a moving branch
        assert Path(source.url).name == Path(path).name
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.blob is None or re.fullmatch("[0-9a-f]{40}", source.blob)
        assert source.sha256 or source.blob


def test_no_compression_is_asked_for(site, target, monkeypatch):
    """What a server compresses on its way is not the pinned file."""

    def send_file(self, content, kind):
        if "gzip" in (self.headers["Accept-Encoding"] or ""):
            zipped = gzip.compress(content)
            self.answer(200, zipped, str(len(zipped)), Content_Encoding="gzip")
        else:
            self.answer(200, content, str(len(content)))

    monkeypatch.setattr(Handler, "send_file", send_file)
    fetch.fetch("unused", Source(f"{site.url}/file", sha256=SHA256), target)
    assert target.read_bytes() == CONTENT
