"""Download a pinned file, or copy it from a mirror, and let nothing unverified through."""

import hashlib
import logging
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from trainstudy import files

log = logging.getLogger(__name__)

ATTEMPTS = 5
SILENCE = 30  # seconds without a byte, after which a connection counts as dropped
SLOWEST, WINDOW = 1_000, 60  # bytes a second, over so many seconds; slower counts as dropped
LARGEST, LARGEST_SUMS = 2 << 30, 16 << 20  # bytes, of a file whose size is not pinned
HOPS = 30  # redirections of one download


class FetchError(files.DataError):
    """A file that could not be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Source:
    """One pinned file: where it is, and how it is recognised: `sha256`, or git's blob id `blob`."""

    url: str
    size: int | None = None  # bytes
    sha256: str | None = None
    blob: str | None = None

    def __post_init__(self) -> None:
        if self.sha256 is None and self.blob is None:
            raise FetchError(f"{self.url} is pinned by no checksum.")


def fetch(path: str, source: Source, target: Path, mirror: str | None = None) -> None:
    """Bring one source to `target`, verified.

    `path` is the file's path below a mirror. With a mirror (a folder, or a file://, http:// or
    https:// prefix) its SHA256SUMS file says what the file must be. What fails verification is
    kept beside the target as *.rejected. Raises FetchError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        largest = source.size or LARGEST
        if mirror is None:
            if urlsplit(source.url).scheme != "https":
                raise FetchError(f"{source.url} is not fetched: only https:// is, or a mirror.")
        else:
            checksum = _mirror_checksum(mirror, path, part)
            source = Source(f"{mirror.rstrip('/')}/{path}", sha256=checksum)
            largest = max(largest, LARGEST)  # what differs from the original may be larger
        _transfer(source.url, part, largest)
        _verify(part, source, target)
        files.rename(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    log.info("%s: verified, %s bytes", target.name, f"{target.stat().st_size:,}")


def is_pinned(file: Path, source: Source) -> bool:
    """Say whether a file is, byte for byte, the one that the study pins."""
    return all(expected == found for _, expected, found in _marks(file, source))


def git_blob(file: Path) -> str:
    """Return git's blob id of a file: the SHA-1 of a header with its size, and its content."""
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: digest).hexdigest()


def _marks(file: Path, source: Source) -> list[tuple[str, object, object]]:
    """Return (name, expected, found) for every mark by which a source is recognised."""
    marks: list[tuple[str, object, object]] = []
    if source.size is not None:
        marks.append(("size in bytes", source.size, file.stat().st_size))
    if source.sha256 is not None:
        marks.append(("SHA-256", source.sha256, files.sha256(file)))
    if source.blob is not None:
        marks.append(("git blob id", source.blob, git_blob(file)))
    return marks


def _verify(part: Path, source: Source, target: Path) -> None:
    for name, expected, found in _marks(part, source):
        if expected != found:
            rejected = target.with_name(target.name + ".rejected")
            part.replace(rejected)
            raise FetchError(
                f"{target.name} from {source.url} is not the expected file.\n"
                f"  {name} expected: {expected}\n  {name} found:    {found}\n"
                f"It is kept as {rejected} for inspection and is not used. "
                "Delete it and run again; if this repeats, the source or the mirror has changed."
            )


def _mirror_checksum(mirror: str, path: str, part: Path) -> str:
    sums = part.with_name(part.name + ".sums")
    address = f"{mirror.rstrip('/')}/SHA256SUMS"
    try:
        _transfer(address, sums, LARGEST_SUMS)
        text = sums.read_text(encoding="utf-8")
    except FetchError as error:
        raise FetchError(
            f"{error}\nA mirror has a file SHA256SUMS on top; docs/clusters.md, Without network, "
            "has the line that writes it."
        ) from error
    except UnicodeDecodeError as error:
        raise FetchError(f"{address} is no text; make it anew with sha256sum.") from error
    finally:
        sums.unlink(missing_ok=True)
    found = re.search(rf"^([0-9a-fA-F]{{64}}) [ *](?:\./)*{re.escape(path)}\r?$", text, re.M)
    if found is None:
        raise FetchError(
            f"The mirror {mirror} does not have {path}: its SHA256SUMS file has no such line. Add "
            "the file and its line; without GPT-1's weights language models can learn a table of "
            "their own (bases.lstm.model.embedding: learned)."
        )
    return found[1].lower()


def _transfer(address: str, part: Path, limit: int) -> None:
    """Bring what lies at an address to `part`, which may grow to `limit` bytes."""
    try:
        scheme = urlsplit(address).scheme if "://" in address else ""
        if scheme in ("http", "https"):
            _download(address, part, limit)
        elif scheme in ("", "file"):
            file = Path(url2pathname(urlsplit(address).path) if scheme else address)
            if not file.is_file():
                raise FetchError(f"{file} does not exist. Is the key 'mirror' right?")
            if file.stat().st_size > limit:
                raise FetchError(f"{file} holds more than the {limit:,} bytes expected of it.")
            shutil.copyfile(file, part)
        else:
            raise FetchError(f"{address}: a mirror is a folder, file://, http:// or https://.")
    except FetchError:  # a ValueError, too
        raise
    except ValueError as error:  # no address at all, such as http://[
        raise FetchError(f"{address}: {error}. Is the key 'mirror' right?") from error
    except OSError as error:
        raise FetchError(f"{address} could not be copied to {part}: {error}") from error


def _download(url: str, part: Path, limit: int) -> None:
    """Download with a progress line; a dropped connection goes on where it stopped."""
    import requests
    import urllib3

    part.unlink(missing_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with requests.Session() as session:
                _receive(session, url, part, limit)
            return
        except (requests.RequestException, urllib3.exceptions.HTTPError, SlowError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            refused = status is not None and 400 <= status < 500 and status not in (408, 429)
            # A ValueError is an address or a redirection that can never be followed.
            if attempt == ATTEMPTS or refused or isinstance(error, ValueError):
                raise FetchError(
                    f"{url} could not be downloaded (attempt {attempt} of {ATTEMPTS}): {error}\n"
                    "No network here? Set the key 'mirror' to a folder or server that has the file."
                ) from error
            pause = 2**attempt
            log.warning("%s: %s; trying again in %d s", part.name, error, pause)
            time.sleep(pause)


class SlowError(Exception):
    """A server that sends, but too slowly to ever end."""


def _receive(session, url: str, part: Path, limit: int) -> None:
    """Take one answer; one that goes on behind what lies in `part` already is added to it."""
    stored = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={stored}-"} if stored else {})
    with _answer(session, url, headers) as answer:
        if answer.status_code == 416:  # nothing lies behind: what is stored is whole, or not ours
            return
        answer.raise_for_status()
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {stored}-")
        stored = stored if answer.status_code == 206 and goes_on else 0
        announced = stored + (answer.raw.length_remaining or 0)
        with part.open("ab" if stored else "wb") as file, _progress(part.name, announced) as bar:
            bar.update(stored)
            began, counted = time.monotonic(), 0
            while block := answer.raw.read1(1 << 16):
                stored, counted = stored + len(block), counted + len(block)
                if max(stored, announced) > limit:
                    raise FetchError(f"{url} sends more than the {limit:,} bytes expected of it.")
                file.write(block)
                bar.update(len(block))
                if time.monotonic() - began > WINDOW:
                    if counted < SLOWEST * WINDOW:
                        raise SlowError(f"fewer than {SLOWEST:,} bytes a second")
                    began, counted = time.monotonic(), 0


def _answer(session, url: str, headers: dict[str, str]):
    """Ask for an address, and where the answer leads elsewhere, as large hosts' do, ask there."""
    import requests

    # Where requests finds a redirection it reads the answer's body, however long, into memory.
    session.get_redirect_target = lambda answer: None
    for _ in range(HOPS + 1):
        answer = session.get(url, headers=headers, stream=True, timeout=SILENCE)
        if not answer.is_redirect:
            return answer
        answer.close()
        url = _redirected(answer)
    raise requests.TooManyRedirects(f"Exceeded {HOPS} redirects.")


def _redirected(answer) -> str:
    """Return where a server sends us. Raises FetchError where that leads out of https."""
    target = urljoin(answer.url, answer.headers["Location"])
    allowed = ("https",) if urlsplit(answer.url).scheme == "https" else ("https", "http")
    if urlsplit(target).scheme not in allowed:
        raise FetchError(
            f"{answer.url} leads to {target}, which is not followed: only "
            f"{' and '.join(f'{scheme}://' for scheme in allowed)} from there."
        )
    return target


def _progress(name: str, total: int):
    from tqdm import tqdm

    return tqdm(total=total or None, desc=name, unit="B", unit_scale=True, mininterval=1, ncols=90)
