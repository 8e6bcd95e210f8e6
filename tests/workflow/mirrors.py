"""Folders that `mirror` can name."""

import hashlib
from pathlib import Path


def mirror_of(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files by their paths, with the SHA256SUMS of all of them on top; return the folder."""
    sums = ""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        sums += f"{hashlib.sha256(content).hexdigest()}  {path}\n"
    (folder / "SHA256SUMS").write_text(sums)
    return folder
