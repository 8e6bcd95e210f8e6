"""Reading configuration files, and where each key stands: file and line, or the command line."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

VALUES, LEVELS = 100_000, 30  # that one file may hold; the study has 700 and 5
MERGE = "tag:yaml.org,2002:merge"
BITS = 1023  # of a whole number; a longer one has no floating-point neighbour


class ConfigError(Exception):
    """A configuration that cannot be run: problems that each name file, key and cure."""

    def __init__(self, *problems: str) -> None:
        shown, rest = problems[:10], len(problems) - 10
        lines = [f"The configuration cannot be run ({len(problems)} to fix):"]
        lines += [f"  * {_printable(problem)}" for problem in shown]
        super().__init__("\n".join(lines + ([f"  … and {rest} more."] if rest > 0 else [])))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose every complaint says where."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # a date that does not exist, !!bool maybe, 5,000 digits, …
            problem = f"{node.value!r:.60} has no such value ({type(error).__name__}: {error})"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read(file: Path) -> tuple[dict, dict[tuple, int], list[str]]:
    """Return what a file holds, the line of every key (by path), and complaints about keys.

    Like Snakemake, it takes JSON for JSON and all else for YAML. Raises ConfigError for what is
    neither, for anchors and nesting without measure, and for templates, which run code.
    """
    text, lines = _text(file), dict[tuple, int]()
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if excess := excessive(node):
            raise ConfigError(f"{file}: {excess}")
        complaints = list(_walk(loader, node, (), file, lines))
        content = _json(text) or (loader.construct_document(node) if node else None)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(file)
        raise ConfigError(f"{place}: this is not YAML: {error.problem}. {_cure(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{file}, line {line}: the character U+{ord(text[error.position]):04X} cannot stand in "
            "YAML; remove it."
        ) from None
    except RecursionError:
        raise ConfigError(f"{file}: {_nested()}") from None
    return _with_keys(file, content), lines, complaints


def _with_keys(file: Path, content: object) -> dict:
    """Return the content of a file, which must be keys, and none that Snakemake itself acts on."""
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file}: keys such as 'study: full' are expected at the top, found "
            f"{'nothing' if content is None else type(content).__name__}; compare config.yaml."
        )
    if excess := excessive(content):
        raise ConfigError(f"{file}: {excess}")
    if "__use_yte__" in content:
        raise ConfigError(f"{file}, __use_yte__: a template can run any code; write plain YAML.")
    if "pathvars" in content:
        raise ConfigError(f"{file}, pathvars: this study has no such key; remove it.")
    return content


def excessive(content: object) -> str | None:
    """Say what is too much about a configuration: nesting, values, or a number's length."""
    count, left = 0, [(content, 0)]
    while left:
        value, level = left.pop()
        count += 1
        if level > LEVELS:
            return _nested()
        if count > VALUES:
            return f"it stands for more than {VALUES:,} values (anchors count wherever used)."
        if isinstance(value, int) and value.bit_length() > BITS:
            return f"a whole number of {value.bit_length()} bits is too large for any key."
        left += [(part, level + 1) for part in _parts(value)]
    return None


class Places:
    """Knows in which file and line each key of the configuration stands."""

    def __init__(self, files: list[Path], config: dict) -> None:
        self.lines: dict[tuple, str] = {}
        self.duplicates: list[str] = []
        self.whole = str(files[0]) if files else "the configuration"
        stored: dict = {}
        for file in filter(Path.exists, map(Path, files)):  # --configfile can stand in for a file
            content, lines, complaints = read(file)
            self.lines |= {path: f"{file}, line {line}" for path, line in lines.items()}
            self.duplicates += complaints
            _update(stored, content)
        if excess := excessive(config):
            raise ConfigError(f"command line (--config): {excess}")
        self.typed = set(_differing(config, stored))  # what --config set

    def find(self, paths: list[tuple]) -> str:
        """Return file, line and key of the first of the paths that stands in a file.

        A path may reach deeper than the file (a missing or a default key): its owner is named then.
        """
        paths = [tuple(map(str, path)) for path in paths]
        for path in paths:
            if any(path[: len(typed)] == typed for typed in self.typed):
                return f"command line (--config), {_dotted(path)}"
            if path in self.lines:
                return f"{self.lines[path]}, {_dotted(path)}"
        for depth in range(1, max(map(len, paths), default=0)):
            for path in paths:
                if path[:-depth] in self.lines:
                    return f"{self.lines[path[:-depth]]}, {_dotted(path)}"
        return f"command line (--config), {_dotted(paths[0])}" if paths[0] else self.whole


def _parts(value: object) -> Iterable:
    """Return what a dict, list or node of YAML holds, keys included."""
    if isinstance(value, dict | yaml.MappingNode):
        pairs = value.items() if isinstance(value, dict) else value.value
        return [part for pair in pairs for part in pair]
    if isinstance(value, yaml.SequenceNode):
        return value.value
    return value if isinstance(value, list | tuple | set) else ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}, line {line}: this is not UTF-8 text ({error.reason}); save the file as UTF-8."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _cure(error: yaml.MarkedYAMLError) -> str:
    if "'\\t'" in str(error.problem):
        return "Indent with spaces, not with tabs."
    return "Look at this line and the one above: indentation, brackets, quotes, colons."


def _nested() -> str:
    return f"it is nested deeper than {LEVELS} levels; does an anchor (&) contain itself?"


def _walk(
    loader: _Loader, node: yaml.Node | None, path: tuple, file: Path, lines: dict[tuple, int]
) -> Iterator[str]:
    """Note the line of every key and item below a node; yield what is wrong with its keys."""
    if isinstance(node, yaml.ScalarNode):
        yield from _misread(loader, node, path, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, str(index))] = item.start_mark.line + 1
            yield from _walk(loader, item, (*path, str(index)), file, lines)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value in node.value:
            merges, line = key_node.tag == MERGE, key_node.start_mark.line + 1
            key = "<<" if merges else str(loader.construct_object(key_node, deep=True))
            below = (*path, key)
            yield from _misread(loader, key_node, below, file)
            if key in seen:
                yield (
                    f"{file}, line {line}, {_dotted(below)}: this key stands a second time "
                    f"(first on line {seen[key]}). Rename or remove one."
                )
            seen[key] = line
            if merges:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                lines[below] = line
                yield from _walk(loader, value, below, file, lines)
        for part in merged:
            behind: dict[tuple, int] = {}
            yield from _walk(loader, part, path, file, behind)
            # What stands in the mapping itself, or in an earlier part, hides what is merged in.
            lines |= {b: line for b, line in behind.items() if b[len(path)] not in seen}
            seen |= {below[len(path)]: line for below, line in behind.items()}


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


def _misread(loader: _Loader, node: yaml.Node, path: tuple, file: Path) -> Iterator[str]:
    """Yield that a number is another than it looks like.

    For YAML 1.1 1:30 is 90 (minutes and seconds), 010 is 8 (base 8) and 1_2 is 12.
    """
    whole = node.tag == "tag:yaml.org,2002:int"
    if not whole and node.tag != "tag:yaml.org,2002:float":
        return
    if (whole and re.match(r"[-+]?0.", node.value)) or re.search("[:_]", node.value):
        value: Any = loader.construct_object(node)
        number = repr(value) if abs(value) < 1e15 else "another number"
        yield (
            f"{file}, line {node.start_mark.line + 1}, {_dotted(path)}: YAML takes "
            f"{node.value:.20} for {number}. Write that, or quotes if it is text."
        )


def _dotted(path: tuple) -> str:
    return ".".join(map(str, path))


def _printable(problem: str) -> str:
    """Return a problem without what would steer a terminal, in a few lines: place and cure stay."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem)
    return text if len(text) <= 600 else f"{text[:400]} … {text[-200:]}"
