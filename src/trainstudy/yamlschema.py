"""What a YAML file may hold, by its schema; each violation as a sentence with place and cure."""

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import jsonschema
import yaml

NUMBER_IN_TEXT = re.compile(r"[-+]?(\d+)(\.\d*)?[eE][-+]?\d+")
PATHS = (("mirror",), ("measured",))  # keys whose pattern is that of a path
NONE_AS_TEXT = (*PATHS, ("image",))  # keys of which "null" is no value

LONGEST = 80  # characters of a key that a place is named by
KINDS = {
    "integer": "whole number", "number": "number", "string": "text", "array": "list",
    "object": "mapping", "boolean": "truth value (true, false)", "null": "null",
}  # fmt: skip

Find = Callable[[tuple], str]


def _is_whole(checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # JSON Schema takes 10.0 too


def _is_number(checker: object, value: object) -> bool:
    # Parquet's real numbers take whole ones only where nothing is lost.
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) == value
    return isinstance(value, float) and math.isfinite(value)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_whole, "number": _is_number}
    ),
)


def read(file: Path) -> jsonschema.protocols.Validator:
    """Return the schema in a file."""
    return Validator(yaml.safe_load(file.read_text(encoding="utf-8")))


def violations(instance: object, schema: jsonschema.protocols.Validator, find: Find) -> list[str]:
    """Return a sentence for everything in which an instance does not obey a schema.

    `find` says where a path of keys stands. Of a key that has no place nothing else is said.
    """
    errors = [(tuple(error.absolute_path), error) for error in schema.iter_errors(instance)]
    no_place = [path for path, error in errors if _is_forbidden(error)]
    told = [
        (path, error)
        for path, error in errors
        if _is_forbidden(error) or not any(path[: len(key)] == key for key in no_place)
    ]
    ordered = sorted(told, key=lambda one: [str(part) for part in one[0]])
    about = schema.schema, instance
    lines = (
        f"{find(path)}: {said}" for _, error in ordered for path, said in _explain(error, *about)
    )
    return list(dict.fromkeys(lines))


def _is_forbidden(error: jsonschema.ValidationError) -> bool:
    return error.validator == "not" and not error.validator_value


def known(name: str, options: Iterable[str], first: Collection[str] = ()) -> str:
    """Return the cure for a name that is not among the options, of which some are listed first."""
    options = sorted(map(str, options), key=lambda option: (option not in first, option))
    if near := nearest(name, options):
        return f"Did you mean '{near}'?"
    listed = ", ".join(options[:20]) + (", …" if len(options) > 20 else "")
    return f"Possible: {listed or 'none'}."


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option that a name is perhaps meant for."""
    options = sorted(options)
    alike = [option for option in options if _letters(option) == _letters(name)]
    return next(iter(alike or difflib.get_close_matches(name.lower(), options, n=1)), None)


def _number(text: str) -> int | float | None:
    """Return the number in digits that a text is; with an exponent it is none here."""
    if not re.fullmatch(r"[-+]?\d{1,300}(\.\d*)?", text, re.ASCII):
        return None
    return float(text) if "." in text else int(text)


def _letters(name: str) -> str:
    """Return a name without what is often written otherwise: AdamW, Adam-W and adamw are one."""
    return re.sub(r"[\W_]", "", name).lower()


def _explain(
    error: jsonschema.ValidationError, schema: dict, whole: Any
) -> list[tuple[tuple, str]]:
    """Return the (path, sentence) of each thing that one error in the `whole` stands for."""
    path, value = tuple(error.absolute_path), error.instance
    if "propertyNames" in error.absolute_schema_path and len(str(value)) <= LONGEST:
        path = (*path, value)  # the instance is a key
    match error.validator:
        case "additionalProperties":
            keys = error.schema.get("properties", {})
            unknown = [key for key in value if key not in keys]
            below = {} if path else _one_level_down(schema)
            return [
                ((*path, key), f"unknown key. {_known_key(str(key), keys, below)}")
                for key in unknown
            ]
        case "required":
            missing = [key for key in error.validator_value if key not in value]
            cure = ""
            if path[:1] == ("experiments",):
                cure = f" {_without_base(path[1], whole['experiments'])}"
            return [(path, f"the key '{key}' is missing.{cure}") for key in missing]
        case "enum":
            cure = known(str(value), error.validator_value)
            if path == ("threads",):
                cure = "Write auto, or a whole number without quotes."
            return [(path, f"{value!r} is not possible. {cure}")]
        case "maxLength":
            count = f"{len(value)} characters, of {error.validator_value} at most"
            return [(path, f"{value!r} is too long: {count}. Shorten it.")]
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return [(path, _out_of_range(path, value, error))]
        case "minItems" | "maxItems" if (wanted := error.validator_value) > 1:
            least = "" if "maxItems" in error.schema else "at least "
            return [(path, f"{value!r}: {least}{wanted} values belong here, not {len(value)}.")]
        case "minItems" | "minProperties":
            return [(path, f"{value!r} is empty; name at least one.")]
        case "minLength":
            or_none = ", or null for none" if "null" in error.schema.get("type", ()) else ""
            return [(path, f"the text is empty; write one{or_none}.")]
        case "uniqueItems":
            return [(path, f"{value!r} has a value twice; remove one.")]
        case "not":
            return [(path, _out_of_place(path, value, bool(error.validator_value), whole))]
        case "pattern":
            return [(path, _misspelt(path, value))]
        case "type":
            of_run = isinstance(whole, dict) and "family" in whole
            return [
                (path, _of_wrong_type(path, value, error.validator_value, error.schema, of_run))
            ]
    return [(path, f"{error.message}.")]


def _known_key(name: str, keys: Iterable[str], below: dict[str, list[str]]) -> str:
    """Return the cure for an unknown key; it may be one that belongs a level further down."""
    section, *settings = name.split(".")
    if settings and all(settings) and section in keys:
        nested = "…"
        for setting in reversed(settings):
            nested = f"{{{setting}: {nested}}}"
        return f"Names with dots are for grids. Write {section}: {nested}."
    if name in below:
        return f"Did you mean {' or '.join(below[name])}?"
    return known(name, keys)


def _one_level_down(schema: dict) -> dict[str, list[str]]:
    """Return the paths of an experiment's settings that stand below another, by their last name."""
    sections = [(key, kind.get("properties", {})) for key, kind in schema["properties"].items()]
    for rule in schema.get("allOf", ()):
        for key, kind in rule.get("then", {}).get("properties", {}).items():
            definition = schema.get("$defs", {}).get(kind.get("$ref", "").rpartition("/")[2], {})
            sections.append((key, definition.get("properties", {})))
    paths: dict[str, list[str]] = {}
    for key, parts in sections:
        for part in parts:
            paths.setdefault(part, []).append(f"'{key}.{part}'")
    return {part: list(dict.fromkeys(found)) for part, found in paths.items()}


def _without_base(name: str, experiments: dict) -> str:
    """Return the cure for an experiment without base: it is new, or another one misspelt."""
    others = [n for n, own in experiments.items() if isinstance(own, dict) and "base" in own]
    if near := nearest(str(name), map(str, others)):
        return f"Is '{near}' meant? A new experiment names one of the bases."
    return "Name one of the bases."


def _out_of_range(path: tuple, value: float, error: jsonschema.ValidationError) -> str:
    if path[:1] == ("claims",) and error.validator == "maximum":
        return f"accuracies are shares of 1; write {value / 100:g} for {value} %."
    bound = {
        "minimum": "at least", "exclusiveMinimum": "more than",
        "maximum": "at most", "exclusiveMaximum": "less than",
    }[error.validator]  # fmt: skip
    or_none = ", or null for none" if "null" in error.schema.get("type", ()) else ""
    return f"{value} has to be {bound} {error.validator_value}{or_none}."


def _out_of_place(path: tuple, value: object, reserved: bool, whole: object) -> str:
    if path[:1] == ("bases",) and path[-1] == "grid":
        return "a grid belongs to an experiment; move it there."
    if reserved and path in NONE_AS_TEXT:
        empty = f"--config {path[0]}="
        return f"{value!r} is text here; for none write null in a file, and nothing in {empty}"
    if reserved:
        return f"Windows reserves the name {value!r}; choose another."
    if isinstance(whole, dict) and "family" in whole:
        return f"models of the family {whole['family']} have no such setting; remove it."
    return "this key has no meaning beside the others; remove it."


def _misspelt(path: tuple, value: object) -> str:
    if path == ("image",):
        return f"{value!r} holds spaces or control characters, which Snakemake refuses; rename it."
    if path[:1] == ("claims",) and path[-1] == "margin":
        return f"{value!r} is no margin; write a number, or a share such as 1 %, of 0 or more."
    if path in PATHS:
        return f"{value!r} holds control characters; remove them."
    return (
        f"{value!r} is no good name. Use lower-case letters and digits, joined by single hyphens, "
        "such as my-vit-2."
    )


def _of_wrong_type(
    path: tuple, value: object, wanted: str | list[str], schema: dict, of_run: bool
) -> str:
    """Return what to do about the usual slips of YAML and of the command line.

    `of_run`: it is a setting of a run, which a grid may vary.
    """
    if wanted == "string" and isinstance(value, bool):
        return "YAML takes no, off, yes, on, false and true for truth values; write it in quotes."
    if wanted == "string" and value is None:
        return "nothing stands behind this key; write a name, or remove it."
    if wanted == "string" and isinstance(value, list | dict):
        return f"{value!r} is no text; write one name."
    if wanted == "string":
        lost = " (in a file: after --config they are lost)" if len(path) == 1 else ""
        return f"{value!s} is no text for YAML; write it in quotes: '{value!s}'{lost}."
    if path[2:3] == ("grid",) and len(path) == 4:
        return (
            f"{value!r} is no list; write the values of one setting, such as "
            "optimizer.lr: [0.01, 0.1]."
        )
    if path[2:3] == ("grid",) and "null" in wanted:
        return (
            f"{value!r} has no place in a grid, which takes text, finite numbers, true, false and "
            "null."
        )
    if wanted == "array" and (value is None or str(value)[:1] in "[{"):
        said = "nothing" if value is None else repr(value)
        return f"{said} is no list; write its values in brackets, such as [one, other]."
    if wanted == "array" and (count := schema.get("minItems", 1)) > 1:
        return f"{value!r} is no list; write {count} values in brackets."
    if wanted == "array":
        several = re.sub(r"[\s,]+", ", ", str(value).strip())
        if path == ("seeds",) and not re.fullmatch("(0|[1-9][0-9]*)(, (0|[1-9][0-9]*))*", several):
            several = "42, 43"
        return f"{value!r} is no list; write [{several}]."
    if wanted == "object" and value is None:
        return "nothing stands below this key; write its keys there, or remove it."
    if wanted == "object" and value in schema.get("properties", {}).get("name", {}).get("enum", ()):
        return f"{value!r} is no mapping; write {{name: {value}}}."
    if wanted == "object":
        return f"{value!r} is no mapping; write keys and values below it, such as key: {value}."
    if value is None:
        return "nothing stands behind this key; write a value, or remove it."
    if isinstance(value, list) and of_run and "array" not in wanted:
        setting = ".".join(map(str, path))
        return f"{value!r} is a list; a grid tries several values: grid: {{{setting}: {value}}}."
    if "null" in wanted and str(value).lower() in ("none", "null", "~"):
        return f"{value!r} is text; write null."
    number = _number(value) if isinstance(value, str) else None
    if path[:1] == ("seeds",) and number is not None:
        most = schema["maximum"]
        if not (str(value).isdecimal() and number <= most):
            return f"{value!r} is no seed; seeds are whole numbers from 0 to {most}."
    if "array" in wanted and "number" in wanted and isinstance(value, str) and number is None:
        return f"{value!r} is neither a number nor a list; write [{value}]."
    if value in ("true", "false", "True", "False"):
        return (
            f"{value!r} is text, not true or false. Write it without quotes in a file, and as True "
            "or False after --config."
        )
    if number is not None:
        inside = "; inside lists and mappings --config makes everything text, --configfile does not"
        return (
            f"{value!r} is text, not a number. Write {number} without quotes"
            f"{inside if len(path) > 1 else ''}."
        )
    if isinstance(value, str) and NUMBER_IN_TEXT.fullmatch(value):
        if "integer" in wanted and float(value).is_integer():
            return f"{value} is text, not a number. Write {float(value):.0f}."
        mantissa, exponent = re.split("[eE]", value)
        cure = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}"
        return (
            f"{value} is text, not a number: YAML wants a dot and a signed exponent. Write {cure}."
        )
    if isinstance(value, int) and _is_whole(None, value) and "number" in wanted:
        return f"{value} is not exact as a real number; write {float(value)!r}."
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        return f"{value} is no whole number for YAML; write {value:.0f}."
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return f"{value!r} is no {' or '.join(KINDS[kind] for kind in kinds)}."
