"""Download a pinned file, or copy it from a mirror, and let nothing unverified through."""

import hashlib
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

log = logging.getLogger(__name__)

ATTEMPTS = 5


class FetchError(Exception):
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
    if mirror is None:
        _transfer(source.url, part)
    else:
        source = Source(f"{mirror.rstrip('/')}/{path}", sha256=_mirror_checksum(mirror, path, part))
        _transfer(source.url, part)
    _verify(part, source, target)
    part.replace(target)
    log.info("%s: verified, %s bytes", target.name, f"{target.stat().st_size:,}")


def is_pinned(file: Path, source: Source) -> bool:
    """Say whether a file is, byte for byte, the one that the study pins."""
    return all(expected == found for _, expected, found in _marks(file, source))


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_blob(file: Path) -> str:
    """Return git's blob id of a file: the SHA-1 of a header with its size, and its content."""
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _marks(file: Path, source: Source) -> list[tuple[str, object, object]]:
    """Return (name, expected, found) for every mark by which a source is recognised."""
    marks: list[tuple[str, object, object]] = []
    if source.size is not None:
        marks.append(("size in bytes", source.size, file.stat().st_size))
    if source.sha256 is not None:
        marks.append(("SHA-256", source.sha256, sha256(file)))
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
    _transfer(f"{mirror.rstrip('/')}/SHA256SUMS", sums)
    lines = [line.split(maxsplit=1) for line in sums.read_text().splitlines()]
    sums.unlink()
    known = {fields[1].removeprefix("*"): fields[0] for fields in lines if len(fields) == 2}
    if path not in known:
        raise FetchError(
            f"The mirror {mirror} does not have {path}: its SHA256SUMS file has no such line."
        )
    return known[path]


def _transfer(address: str, part: Path) -> None:
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        _download(address, part)
        return
    file = Path(url2pathname(urlsplit(address).path)) if scheme == "file" else Path(address)
    if not file.is_file():
        raise FetchError(f"{file} does not exist. Is the key 'mirror' right?")
    shutil.copyfile(file, part)


def _download(url: str, part: Path) -> None:
    """Download with a progress line; a dropped connection is tried again after a pause."""
    import pooch
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _progress(part.name) as bar:
                pooch.HTTPDownloader(progressbar=bar, timeout=30)(url, str(part), None)
            return
        except (requests.RequestException, OSError, ValueError) as error:
            part.unlink(missing_ok=True)
            status = getattr(getattr(error, "response", None), "status_code", None)
            refused = status is not None and 400 <= status < 500 and status not in (408, 429)
            final = attempt == ATTEMPTS or refused
            if final:
                raise FetchError(
                    f"{url} could not be downloaded (attempt {attempt} of {ATTEMPTS}): {error}\n"
                    "No network here? Set the key 'mirror' to a folder or server that has the file."
                ) from error
            pause = 2**attempt
            log.warning("%s: %s; trying again in %d s", part.name, error, pause)
            time.sleep(pause)


def _progress(name: str):
    from tqdm import tqdm

    return tqdm(total=0, desc=name, unit="B", unit_scale=True, mininterval=1, ncols=90)
