"""Put the measured tables and figures into docs/performance.md, from benchmarks/results/*.json.

Each stands between two comments, <!-- begin NAME --> and <!-- end NAME -->; the rest is prose.
"""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt

from trainstudy.figures.drawing import plain_numbers
from trainstudy.quantities import counted

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"


def machine(result: dict) -> str:
    """Return one sentence on where and when a result was measured."""
    facts, versions = result["machine"], result["versions"]
    device = "" if result["device"] == "CPU" else f"{result['device']}, "
    return (
        f"{result['date']}, {device}{facts['processor']}, {counted(int(facts['cores']), 'core')}, "
        f"{counted(result['threads'], 'thread')}, torch {versions['torch']}, "
        f"Python {versions['python']}."
    )


def speed(result: dict) -> str:
    """Return the table of textbook against ours."""
    ceilings, products = result["ceilings"], result["precision"]
    by = " by one thread" if result["device"] == "CPU" else ""
    ceiling = ceilings[{"bf16": "bfloat16", "fp32": "float32"}[products]]
    lines = [
        machine(result),
        "",
        f"Ceilings: matrix product {ceilings['float32'] / 1e9:,.0f} GFLOP/s in float32, "
        f"{ceilings['bfloat16'] / 1e9:,.0f} in bfloat16; "
        f"copy{by} {ceilings['copy'] / 1e9:,.1f} GB/s.",
        "",
        "| case | textbook (min–median–max) | ours (min–median–max) | ratio | memory "
        f"| counted work a step | reached | of the {products} ceiling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, found in result["cases"].items():
        rates = [
            "–".join(f"{rate:,.0f}" for rate in found[side]["rate"]) + f" {found['unit']}/s"
            for side in ("textbook", "ours")
        ]
        memory = [f"{found[side]['memory'] / 2**20:,.0f}" for side in ("textbook", "ours")]
        lines.append(
            f"| {case} | {rates[0]} | {rates[1]} | **{found['ratio']:.2f}** "
            f"| {memory[0]} → {memory[1]} MiB | {found['flops'] / 1e9:,.0f} GFLOP "
            f"| {found['achieved'] / 1e9:,.0f} GFLOP/s "
            f"| {found['achieved'] / ceiling:.0%} |"
        )
    return "\n".join(lines)


def ceiling_figure(result: dict, file: Path) -> None:
    """Draw what each case reaches against what matrix products reach."""
    cases = result["cases"]
    figure, panel = plt.subplots(figsize=(7, 3.2), layout="constrained")
    panel.barh(list(cases), [found["achieved"] / 1e9 for found in cases.values()], color="#0173b2")
    for name, style in (("float32", ":"), ("bfloat16", "--")):
        value = result["ceilings"][name] / 1e9
        panel.axvline(value, color="#333", linestyle=style, label=f"matrix product, {name}")
    panel.invert_yaxis()
    panel.set(xlabel="GFLOP/s of counted work")
    panel.legend(loc="lower right")
    figure.savefig(file, dpi=130)
    plt.close(figure)


def growth_figure(result: dict, file: Path) -> None:
    """Draw how the time of a step grows with depth, batch, sequence and vocabulary."""
    figure, panels = plt.subplots(1, len(result["sweeps"]), figsize=(13, 3.2), layout="constrained")
    for panel, (name, sweep) in zip(panels, result["sweeps"].items(), strict=True):
        values = [point["value"] for point in sweep["points"]]
        panel.plot(
            values, [point["seconds"] * 1e3 for point in sweep["points"]], "o-", color="#0173b2"
        )
        panel.set(
            xlabel=name, ylabel="ms per step", title=sweep["case"], xscale="log", yscale="log"
        )
        panel.set_xticks(values, values)
        panel.minorticks_off()
        plain_numbers(panel.yaxis)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def milliseconds(seconds: float) -> str:
    """Return a time as it is read: steps of a GPU take a few milliseconds or less."""
    return f"{seconds * 1e3:,.0f}" if seconds >= 0.02 else f"{seconds * 1e3:.2f}"


def growth(result: dict) -> str:
    """Return the table behind growth_figure."""
    lines = [machine(result), "", "| what grows | case | ms per step (median) |", "|---|---|---|"]
    for name, sweep in result["sweeps"].items():
        points = ", ".join(
            f"{point['value']}: {milliseconds(point['seconds'])}" for point in sweep["points"]
        )
        lines.append(f"| {name} | {sweep['case']} | {points} |")
    return "\n".join(lines)


def profile(result: dict) -> str:
    """Return the five largest costs of one step of each case."""
    lines = [machine(result), "", "| case | largest costs, share of the step |", "|---|---|"]
    for case, costs in result["costs"].items():
        # What is compiled for a GPU is named after all the operations in it.
        named = ((name if len(name) < 40 else f"{name[:35]}…", share) for name, share in costs)
        shares = ", ".join(f"`{name}` {share:.0%}" for name, share in named)
        lines.append(f"| {case} | {shares} |")
    return "\n".join(lines)


def precision(result: dict) -> str:
    """Return bfloat16, and the published augmentation, beside the spread of float32."""
    taken: dict[str, dict[str, list[str]]] = {}
    for case, variants in result["runs"].items():
        for variant, runs in variants.items():
            found_at: dict[str, list[str]] = {}  # seeds, by where they were measured
            for seed, run in runs.items():
                found_at.setdefault(machine(run["taken"]), []).append(seed)
            for where, own in found_at.items():
                which = f" ({'seed' if len(own) == 1 else 'seeds'} {', '.join(own)})"
                named = case + (which if len(found_at) > 1 else "")
                taken.setdefault(where, {}).setdefault(variant, []).append(named)
    lines = [
        "; ".join(f"{name} of {', '.join(cases)}" for name, cases in variants.items())
        + f": {where}"
        for where, variants in taken.items()
    ]
    lines += [
        "",
        "| case | data | loss after 100 steps, fp32 (lowest–highest of the seeds) | bf16 "
        "| per image | validation after one epoch or those named, fp32 | bf16 | per image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, runs in result["runs"].items():
        cells = []
        for measure in ("loss", "validation"):
            values = [run[measure] for run in runs.get("fp32", {}).values()]
            seeds = counted(len(values), "seed")
            cells.append(f"{min(values):.4g}–{max(values):.4g} ({seeds})" if values else "–")
            for variant in ("bf16", "per image"):
                found = runs.get(variant, {}).values()
                cells.append(", ".join(f"{run[measure]:.4g}" for run in found) or "–")
        some = next(iter(next(iter(runs.values())).values()))
        cells[3] = f"{some['measure']} {cells[3]}"
        lines.append(f"| {case} | {some['data']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sharing(result: dict) -> str:
    """Return the steps per second of jobs alone and side by side."""
    names = list(next(iter(result["cases"].values())))
    lines = [
        machine(result),
        "",
        f"| case | {' | '.join(f'{name}, steps/s' for name in names)} | in total |",
        "|---" * (len(names) + 2) + "|",
    ]
    for case, rates in result["cases"].items():
        first, *others = (rates[name] for name in names)
        cells = " | ".join(f"{rates[name]:.2f}" for name in names)
        lines.append(
            f"| {case} | {cells} | {', '.join(f'{rate / first:.2f}×' for rate in others)} |"
        )
    return "\n".join(lines)


def planning(result: dict) -> str:
    """Return one sentence on how long Snakemake plans a large study."""
    facts = result["machine"]
    return (
        f"{result['experiments']:,} experiments with {result['seeds']} seeds each, "
        f"{result['jobs']:,} jobs, are planned in {result['seconds']:.0f} s and "
        f"{result['memory_mib']:,} MiB ({result['date']}, {facts['processor']}, "
        f"{counted(int(facts['cores']), 'core')})."
    )


def fill(page: str, name: str, text: str) -> str:
    """Return the page with a part replaced; the first of another kind stands behind the CPU's."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in page:
        before = f"<!-- end cpu {name.split()[-1]} -->"
        if before not in page:
            raise SystemExit(f"{PAGE.name} has no part {name}")
        page = page.replace(before, f"{before}\n\n{begin}\n{end}")
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.S)


# What is made of each file of results: text, and a figure.
TEXTS = {
    "speed": speed,
    "growth": growth,
    "profile": profile,
    "precision": precision,
    "sharing": sharing,
    "dag": planning,
}
FIGURES = {  # how each is drawn, and what a reader who cannot see it is told
    "speed": (ceiling_figure, "Achieved against ceiling"),
    "growth": (growth_figure, "Time of a step as depth, batch, sequence and vocabulary grow"),
}


def filled(page: str) -> str:
    """Return the page with the text of every file of results."""
    for file in sorted(RESULTS.glob("*.json")):
        name = file.stem.split("-")[-1]
        text = TEXTS[name](json.loads(file.read_text()))
        if name in FIGURES:
            text += f"\n\n![{FIGURES[name][1]}]({file.stem}.png)"
        page = fill(page, file.stem.replace("-", " "), text)
    return page


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text()))
    for file in sorted(RESULTS.glob("*.json")):
        name = file.stem.split("-")[-1]
        if name in FIGURES:
            draw, _ = FIGURES[name]
            draw(json.loads(file.read_text()), ROOT / "docs" / f"{file.stem}.png")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
