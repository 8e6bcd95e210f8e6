"""Broken configurations: the study's own files with lines, values, keys and bytes changed."""

import re
from pathlib import Path

from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]

# What YAML 1.1, Python and file systems make something else of, or nothing.
SURPRISES = [
    "on", "off", "yes", "no", "null", "~", "", "1e-3", "1e3", "1.0e-3", "1:30:00", "190:20:30.15",
    "012", "0x1F", "0b11", "1_000", "0o17", ".nan", ".inf", "-.inf", "-1", "0", "1", "2", "4",
    "0.5", "1.5", "10.0", "4294967296", "9007199254740993", "9223372036854775808", "1.0e+308",
    "1" + "0" * 400, "9" * 5_000, "0x" + "f" * 4_000, "2026-11-22", "2026-13-45", "12:60:61",
    "[]", "{}", "[1, 2]", "[[1]]", "{a: 1}", "{base: vit}", "[0.8, 1.0]", "[1.0, 0.8]", "[3, 3]",
    "&a [*a]", "&a {a: *a}", "*a", "&a 1", "<<", "{<<: *a}", "{<<: {epochs: 1}}", "!!set {a, b}",
    "!!binary =", "!!binary aGk=", "!!python/name:os.system", "!!python/tuple [1]", "!!int x",
    "!!bool maybe", "!!float ''", "!!timestamp x", "!!omap [a: 1]", "!!pairs [a: 1]", "!!str 1",
    "!unknown 1", "'", '"', "'text'", '"\\ud800"', '"\\0"', '"\\e[31mred\\e[0m"', '"a\\nb"', "|",
    ">-", "%", "@", "`", "#", "?", "- ", ": ", "{", "}", "[", "]", ",", "---", "...", "../x",
    "/etc/x", "..", "con", "NUL", "Vit-2-AdamW", "vit-2-adamw", "a b", "ä", "a" * 81, "a" * 100_000,
    "lstm", "vit", "cnn", "core", "digits", "pydocs", "cifar10", "wikitext2", "learned", "gpt1",
    "adamw", "sgd", "none", "step", "cosine", "auto", "bf16", "fp32", "post", "resnet", "googlenet",
    "{" * 400, "[" * 2_000, "[" * 40 + "]" * 40, "__use_yte__", "pathvars", "\t", "\x00", "\ufeff",
]  # fmt: skip
KEYS = ["base", "group", "model", "study", "seeds", "select", "mirror", "bases", "experiments",
        "epochs", "optimizer", "lr", "name", "lstm", "vit", "dataset", "family", "grid",
        "optimizer.lr", "vit-2-tuned-lr-3e-1", "early_stopping", "carry_state", "drop_path",
        "mixup"]  # fmt: skip
KINDS = ["drop", "repeat", "swap", "key", "insert", "indent", "cut"] + ["value"] * 7
GRID = """\
  vit-2-tuned:
    base: vit
    optimizer: {name: sgd}
    grid:
      optimizer.lr: [3.0e-3, 0.3]
      gradient_clipping: [null, 1.5]
      model.norm: [pre]
"""


def study(text: str, first: int, count: int, grid: bool) -> str:
    """Return a file of the study with a few of its experiments: all of them would take long."""
    head, experiments = text.split("\nexperiments:\n")
    lines = [line for line in experiments.splitlines() if line.strip()]
    chosen = lines[first % len(lines) :][:count]
    chosen += [GRID.rstrip()] if grid else []
    names = ", ".join(line.split(":")[0].strip() for line in chosen)
    head = head.replace("select: [core, longer, cnn]", f"select: [{names}]")
    return f"{head}\nexperiments:\n" + "\n".join(chosen) + "\n"


CONFIG, DEMO = (ROOT / "config.yaml").read_text(), (ROOT / "config/demo.yaml").read_text()
PLACE = st.integers(0, 10**6)
SURPRISE = st.sampled_from([*SURPRISES, None]).flatmap(
    lambda known: st.text(max_size=8) if known is None else st.just(known)
)
MUTATION = st.tuples(st.sampled_from(KINDS), PLACE, PLACE, SURPRISE)


def mutated(text: str, mutation: tuple[str, int, int, str]) -> str:
    kind, place, other, surprise = mutation
    lines = text.splitlines() or [""]
    at, to = place % len(lines), other % len(lines)
    line = lines[at]
    if kind == "drop":
        del lines[at : at + 1 + other % 3]
    elif kind == "repeat":
        lines.insert(to, line)
    elif kind == "swap":
        lines[at], lines[to] = lines[to], line
    elif kind == "insert":
        key = KEYS[other % len(KEYS)]
        lines.insert(at, " " * (other % 4 * 2) + (f"{key}: {surprise}" if place % 2 else surprise))
    elif kind == "indent":
        lines[at] = (" " * (other % 7) if place % 3 else "\t") + line.lstrip()
    elif kind == "cut":
        lines[at] = line[: other % (len(line) + 1)]
    else:  # a value or a key of this line becomes another
        pattern = r"(?<=: )[^,{}\[\]#]+|(?<=\[)[^,\]]+" if kind == "value" else r"[\w.-]+(?=:)"
        found = list(re.finditer(pattern, line))
        if found:
            match = found[other % len(found)]
            new = surprise if kind == "value" or place % 2 else KEYS[other % len(KEYS)]
            lines[at] = line[: match.start()] + new + line[match.end() :]
    return "\n".join(lines) + "\n"


@st.composite
def files(draw) -> tuple[bytes, bytes | None]:
    """Draw config.yaml and, half of the time, an overlay; at least one of them is changed."""
    texts = [study(CONFIG, draw(PLACE), draw(st.integers(1, 3)), draw(st.booleans()))]
    if draw(st.booleans()):
        texts.append(DEMO.split("\nexperiments:\n")[0] + "\n")
    for mutation in draw(st.lists(MUTATION, min_size=1, max_size=3)):
        changed = mutation[1] % len(texts)
        texts[changed] = mutated(texts[changed], mutation)
    contents = [text.encode("utf-8", "surrogatepass") for text in texts]
    how = draw(st.integers(0, 29))
    if how == 0:  # bytes that no editor writes
        noise, place = draw(st.binary(min_size=1, max_size=4)), draw(PLACE) % (len(contents[0]) + 1)
        contents[0] = contents[0][:place] + noise + contents[0][place + len(noise) :]
    elif how == 1:
        contents[0] = draw(st.sampled_from([b"", b"- a\n", b"text", b"\xff\xfe", b"{}", b"null"]))
    elif how == 2:
        contents[0] = texts[0].encode(
            draw(st.sampled_from(["utf-16", "utf-8-sig", "cp037"])), "replace"
        )
    return contents[0], contents[1] if len(contents) > 1 else None
