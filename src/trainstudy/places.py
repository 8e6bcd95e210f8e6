"""Where each key of a configuration stands: file and line, or the command line."""

from collections.abc import Iterator
from pathlib import Path

import yaml


class Places:
    """Knows in which file and line each key of the configuration stands."""

    def __init__(self, files: list[Path], config: dict) -> None:
        self.lines: dict[tuple, str] = {}
        self.duplicates: list[str] = []
        stored: dict = {}
        for file in files:
            text = Path(file).read_text(encoding="utf-8")
            self._walk(yaml.compose(text), (), Path(file))
            _update(stored, yaml.safe_load(text) or {})
        self.typed = set(_differing(config, stored))  # what --config set

    def _walk(self, node: yaml.Node | None, path: tuple, file: Path) -> None:
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._place(item, (*path, index), file)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    self.duplicates.append(
                        f"{file}, line {line}, {_dotted((*path, key.value))}: this key stands a "
                        f"second time (first on line {seen[key.value]}). Rename or remove one."
                    )
                seen[key.value] = line
                self.lines[(*path, key.value)] = f"{file}, line {line}"
                self._walk(value, (*path, key.value), file)

    def _place(self, node: yaml.Node, path: tuple, file: Path) -> None:
        self.lines[path] = f"{file}, line {node.start_mark.line + 1}"
        self._walk(node, path, file)

    def find(self, paths: list[tuple]) -> str:
        """Return file, line and key of the first of the paths that stands in a file.

        A path may reach deeper than the file (a missing or a default key): its owner is named then.
        """
        paths = [tuple(p if isinstance(p, int) else str(p) for p in path) for path in paths]
        for path in paths:
            if any(path[: len(typed)] == typed for typed in self.typed):
                return f"command line (--config), {_dotted(path)}"
            if path in self.lines:
                return f"{self.lines[path]}, {_dotted(path)}"
        for depth in range(1, max(map(len, paths), default=0)):
            for path in paths:
                if path[:-depth] in self.lines:
                    return f"{self.lines[path[:-depth]]}, {_dotted(path)}"
        return f"command line (--config), {_dotted(paths[0])}" if paths[0] else "the configuration"


def _update(lower: dict, upper: dict) -> None:
    """Lay one file over another as Snakemake does."""
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(lower.get(key), dict):
            _update(lower[key], value)
        else:
            lower[key] = value


def _differing(config: object, stored: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the paths of what a configuration holds beside or against the files."""
    if not (isinstance(config, dict) and isinstance(stored, dict)):
        if repr(config) != repr(stored):
            yield path
        return
    for key, value in config.items():
        if key in stored:
            yield from _differing(value, stored[key], (*path, str(key)))
        else:
            yield (*path, str(key))


def _dotted(path: tuple) -> str:
    return ".".join(map(str, path))
