"""Reading files that may be broken, and writing files so that none is ever found half-written."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))


class DataError(ValueError):
    """A file whose content cannot be used; the message names the file and the cure."""


def is_full(error: BaseException) -> bool:
    """Say whether an error means that a disk takes no more; libraries have several types for it."""
    return any(said in str(error) for said in FULL)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the name `file` once it is complete and on the disk.

    Where writing fails no part is left and an earlier `file` stays; the error carries a note that
    names it.
    """
    part = file.with_name(f"{file.stem}.part{file.suffix}")
    try:
        yield part
        rename(part, file)
    except BaseException as error:
        error.add_note(f"{file} was not written.")
        part.unlink(missing_ok=True)
        raise


def rename(part: Path, file: Path) -> None:
    """Give a complete file its final name; content and name are on the disk afterwards.

    Who may read it follows from the umask, also where a library writes for its owner alone.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    part.chmod(0o666 & ~mask)
    sync(part)
    part.replace(file)
    sync(file.parent)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove(folder: Path, names: Iterable[str]) -> None:
    """Delete the files of some names in a folder, whatever their endings."""
    for file in (file for name in names for file in folder.glob(f"{name}.*")):
        file.unlink()


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _flush(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot do it for folders
            raise
    finally:
        os.close(handle)


def _flush(handle: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, where fsync alone ends at the disk's own cache
        with suppress(OSError):  # not every file system there can do it
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


@contextmanager
def sound(file: Path) -> Iterator[None]:
    """Turn every complaint of a reader about this file's content into a DataError."""
    import pyarrow as pa

    try:
        yield
    except (DataError, FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, MemoryError, RecursionError) as error:
        raise DataError(f"{file} is broken ({_first_line(error)}). {cure(file)}") from error


def parquet(file: Path, schema, limit: int) -> Iterator:
    """Yield the columns of a pyarrow schema from a Parquet file, batch by batch.

    Raises DataError for a file that cannot be read, that lacks a column or holds it in another
    type, whose text is not UTF-8, that has empty cells, or more than `limit` bytes of content.
    """
    import pyarrow.parquet as pq

    size = 0
    with sound(file), pq.ParquetFile(file, page_checksum_verification=True) as opened:
        _check_columns(file, opened.schema_arrow, schema)
        for batch in opened.iter_batches(batch_size=1000, columns=schema.names):
            size += batch.nbytes
            if size > limit:
                raise DataError(f"{file} holds more than {limit:,} bytes. {cure(file)}")
            batch.validate(full=True)
            for name in schema.names:
                if batch[name].null_count:
                    raise DataError(f"{file}: the column {name} has empty cells. {cure(file)}")
            yield batch


def cure(file: Path) -> str:
    """Return what to do about a broken file."""
    return f"Delete {file} and run again; if that does not help, its source or mirror is broken."


def _check_columns(file: Path, found, schema) -> None:
    for field in schema:
        places = found.get_all_field_indices(field.name)
        if len(places) != 1:
            columns = ", ".join(found.names[:12])
            raise DataError(f"{file} has no column {field.name}, but {columns}. {cure(file)}")
        if found.field(places[0]).type != field.type:
            raise DataError(
                f"{file}: the column {field.name} should hold {field.type}, "
                f"found {found.field(places[0]).type}. {cure(file)}"
            )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
