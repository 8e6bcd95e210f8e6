"""The first sentences of the page, written from the results: what came out, in short."""

import math
from collections.abc import Iterable
from statistics import fmean

import pandas as pd
from markupsafe import Markup

from trainstudy import claims, comparisons, estimates
from trainstudy.places import of_several_codes, places
from trainstudy.quantities import counted, written
from trainstudy.results import (
    FAMILIES,
    LOWER_IS_BETTER,
    PUBLISHED_DATASET,
    REPORTS,
    SCORE,
    Results,
    by_seed,
    finished,
    held_out,
    learned_instead,
    of_images,
    on_main_dataset,
    some_of,
)

ANSWERS = "Questions of the study"
CHANCE = "seeds and the number of images leave to chance"


def sentences(results: Results, declared: int) -> list[Markup]:
    """Return paragraphs: how much ran, each family, questions of the study, the reports' claims.

    `declared` is the number of experiments in the configuration, selected or not.
    """
    runs = results.runs
    families = [family for family in FAMILIES if (runs.family == family).any()]
    paragraphs = [_counts(runs, declared), *(_family(results, family) for family in families)]
    answers = [_norm(results), _networks(results), _over_fitting(results), _memory(results)]
    if found := [answer for answer in answers if answer]:
        answer = Markup(" ").join(found)
        paragraphs.append(Markup("<strong>{}.</strong> {}").format(ANSWERS, answer))
    return [*paragraphs, statements(results)] if results.claims else paragraphs


def _counts(runs: pd.DataFrame, declared: int) -> Markup:
    seeds = sorted(runs.seed.unique())
    with_seeds = runs.groupby("experiment").seed.nunique()
    whole = int((with_seeds == len(seeds)).sum())
    text = Markup(
        "<strong>{} of {} declared experiments</strong> are here, in {} ({} {}{})."
    ).format(
        len(with_seeds), declared, counted(len(runs), "run"),
        "seed" if len(seeds) == 1 else "seeds", ", ".join(map(str, seeds)),
        "" if whole == len(with_seeds) else f"; {counted(whole, 'experiment')} with all of these",
    )  # fmt: skip
    if diverged := some_of(runs.status == "diverged", runs, " runs"):
        named = Markup(", ").join(_name(name) + share for name, share in diverged.items())
        text += Markup(" Diverged: {}.").format(named)
    return text


def _family(results: Results, family: str) -> Markup:
    runs = results.runs[(results.runs.family == family) & (results.runs.status == "finished")]
    if runs.empty:
        return Markup("<strong>{}.</strong> No run finished.").format(FAMILIES[family])
    main = on_main_dataset(runs)  # neither scores nor epochs compare across data sets
    where = f" on {main.dataset.iloc[0]}" if runs.dataset.nunique() > 1 else ""
    parts = [
        _best(main, SCORE[family], where),
        _fastest(results, {*main.experiment}, where),
        _published(results, family),
    ]
    return Markup("<strong>{}.</strong> {}").format(FAMILIES[family], Markup(" ").join(parts))


def _best(runs: pd.DataFrame, score: str, where: str) -> Markup:
    """Say which experiment does best on validation data, at its best epoch, and how on test data.

    The validation data choose, so that the test score beside them is not a chosen one. `where`
    names the data set of the runs if there are others.
    """
    best = _leader(runs, score)
    if best.empty:
        return Markup("No run has a validation {}.").format(score)
    seeds, others = len(best), _as_good(runs, best, score)
    chance = f" ({_others(others)} may be as good)" if others else ""
    return Markup("{}{} {} validation {} {}{}, test {}{}.").format(
        f"Of those{where}, " if where else "",
        _name(best.experiment.iloc[0]),
        f"generalises best{chance}:" if runs.experiment.nunique() > 1 else "reaches",
        score,
        written(best[f"validation_{score}_best"].mean(), score),
        f" at epoch {best.best_epoch.iloc[0]:.0f}" if seeds == 1 else "",
        written(best[f"test_{score}_best"].mean(), score),
        f" (means of {seeds} seeds, best epoch of each)" if seeds > 1 else "",
    )


def _leader(runs: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the finished runs of the experiment with the best mean validation score.

    Of equal experiments that is the first by name; without a score there is none.
    """
    done = runs[runs.status == "finished"]
    means = _means(done, f"validation_{score}_best").dropna()
    if means.empty:
        return done[:0]
    name = means.idxmin() if score in LOWER_IS_BETTER else means.idxmax()
    return done[done.experiment == name]


def _as_good(runs: pd.DataFrame, best: pd.DataFrame, score: str) -> int:
    """Return how many other experiments seeds or images do not tell apart from the best."""
    images, column = held_out({*runs.dataset}, "validation"), f"validation_{score}_best"
    scores = runs[runs.experiment != best.experiment.iloc[0]].dropna(subset=column)
    doubts = scores.groupby("experiment")[column].apply(
        lambda own: _may_be_equal(score, [*own], [*best[column]], images)
    )
    return int(doubts.sum())


def _may_be_equal(score: str, one: list[float], other: list[float], images: int | None) -> bool:
    """Say whether chance alone may tell the means of two scores apart."""
    doubt, means = estimates.doubt_of_scores(score, one, other, images), (fmean(one), fmean(other))
    return means[0] == means[1] or abs(means[0] - means[1]) <= doubt


def _fastest(results: Results, experiments: set[str], where: str) -> Markup:
    """Say which experiment trains fastest and which slowest, by seconds per training epoch.

    Of those that the reports timed, where any was timed here. `where` as in _best.
    """
    own = results.compared(experiments & results.timed_by_reports, "seconds_training")
    of = "Of those that the reports timed, "
    if own.empty:
        own = results.compared(experiments, "seconds_training")
        of = f"Of those{where}, " if where else ""
    if own.empty:
        return Markup("No run{} was timed.").format(where)
    notes = [f"on {places(own).iloc[0]}"] if results.several_places else []
    notes += ["by several versions of the code"] if of_several_codes(own) else []
    noted = Markup(" ({})").format(", ".join(notes)) if notes else ""
    seconds = _means(own, "seconds_training").sort_values()
    if len(seconds) == 1:
        return Markup("An epoch of {} takes {}{}.").format(
            _name(seconds.index[0]), written(seconds.iloc[0], "seconds"), noted
        )
    first, last = seconds.index[0], seconds.index[-1]
    times = own.groupby("experiment").seconds_training.apply(list)
    equal = seconds[estimates.as_quick(times.to_dict())[1:]]
    beside = f" ({_others(len(equal))} may be as fast, up to {written(equal.max(), 'seconds')})"
    as_slow = len(estimates.as_slow(times.to_dict())) - 1
    slowest = Markup("; {} is slowest, {}{}").format(
        _name(last), written(seconds[last], "seconds"),
        f", or perhaps {_others(as_slow)}" if as_slow else "",
    )  # fmt: skip
    return Markup("{}{} trains fastest, {} per epoch{}{}{}.").format(
        of, _name(first), written(seconds[first], "seconds"), beside if len(equal) else "",
        "" if last in equal.index else slowest, noted,
    )  # fmt: skip


def _norm(results: Results) -> Markup | None:
    """Say how pre-norm compares with post-norm, by the validation accuracy of the last epoch.

    Ahead is what leads by more than seeds or the number of images leave to chance.
    """
    leads, sure = {}, {}
    for one in comparisons.find(results.runs, "norm"):
        runs = results.runs[results.runs.experiment.isin(one.experiments)]
        # Runs with the same settings count together, whatever their names.
        together = finished(runs.assign(experiment=runs["model.norm"]))
        scores = by_seed(together, "validation_accuracy_last")
        values = {norm: [*own] for norm, own in scores.groupby(level="experiment")}
        if len(values) == 2:
            name = runs.experiment[runs["model.norm"] == "pre"].min()
            pair = (values["pre"], values["post"])
            lead, _ = estimates.difference(*pair)
            images = held_out({*runs.dataset}, "validation")
            leads[name] = 100 * lead
            sure[name] = abs(lead) > estimates.doubt_of_scores("accuracy", *pair, images)
    if not leads:
        return None
    if len(leads) == 1:
        [(name, lead)] = leads.items()
        if not lead:
            return Markup("Pre- and post-norm end at the same validation accuracy ({}).").format(
                _name(name)
            )
        side = "above" if lead > 0 else "below"
        much = f"more than {CHANCE}" if sure[name] else "which may be chance"
        return Markup(
            "Pre-norm ends {:.2f} points of validation accuracy {} post-norm ({}), {}."
        ).format(abs(lead), side, _name(name), much)
    least, most = min(leads, key=leads.__getitem__), max(leads, key=leads.__getitem__)
    ends = Markup("between {:+.2f} ({}) and {:+.2f} ({})").format(
        leads[least], _name(least), leads[most], _name(most)
    )
    ahead = [leads[name] > 0 for name in leads if sure[name]]
    return Markup(
        "Of {} pairs that differ in the norm alone, pre-norm ends ahead in {} and post-norm in {} "
        "by more than {}; pre-norm minus post-norm is {} points of validation accuracy."
    ).format(
        len(leads), sum(ahead), len(ahead) - sum(ahead), CHANCE,
        ends if leads[least] < leads[most] else f"{leads[least]:+.2f}",
    )  # fmt: skip


def _networks(results: Results) -> Markup | None:
    """Say how the best CNN compares with the best vision transformer, in accuracy and size.

    On the data set of most of them.
    """
    images = of_images(results.runs)
    runs = on_main_dataset(images)
    where = f" on {runs.dataset.iloc[0]}" if images.dataset.nunique() > 1 else ""
    parts = []
    for family, text in (
        ("cnn", f"The best CNN{where}, {{}},"),
        ("vit", "the best vision transformer, {},"),
    ):
        best = _leader(runs[runs.family == family], "accuracy")
        if best.empty:
            return None
        parts.append(
            Markup(
                text + " reaches {} validation accuracy in the best of {} with {:,} parameters"
            ).format(
                _name(best.experiment.iloc[0]),
                written(best.validation_accuracy_best.mean(), "accuracy"),
                counted(best.epochs.iloc[0], "epoch"),
                best.parameters_trained.iloc[0],
            )
        )
    return Markup("{}; {}.").format(*parts)


def _over_fitting(results: Results) -> Markup | None:
    """Say how many runs over-fit, by the rule of estimates.over_fitting."""
    verdicts = results.over_fitting.verdict[results.over_fitting.verdict != "too short"]
    if verdicts.empty:
        return None
    all_long = len(verdicts) == len(results.over_fitting)
    long = "" if all_long else f" of more than {estimates.SINCE} epochs"
    return Markup(
        "{} of {} over-fit: the validation loss ended more than {:.0f} % above its minimum, reached"
        " at least {} epochs before the end, while the training loss ended lower than there."
    ).format(
        (verdicts == "over-fitted").sum(), counted(len(verdicts), "run") + long,
        100 * estimates.RISE, estimates.SINCE,
    )  # fmt: skip


def _memory(results: Results) -> Markup | None:
    """Say how GPU memory goes with depth, in the largest comparison of each family."""
    return _deepening(results, "Measured", "memory_allocated") or _deepening(
        results, "Predicted, not measured,", "memory_predicted"
    )


def _deepening(results: Results, kind: str, column: str) -> Markup | None:
    """Say how memory goes with depth, where several depths have some, on one machine."""
    layers = comparisons.settings(results.runs).layers
    deepening: dict[str, pd.Series] = {}
    for one in comparisons.find(results.runs, "depth"):
        memory = _means(results.compared(one.experiments, column), column)
        by_depth = memory.groupby(layers[memory.index]).mean()
        if len(by_depth) > max(1, len(deepening.get(one.family, []))):
            deepening[one.family] = by_depth
    if not deepening:
        return None
    told = "; ".join(
        f"{FAMILIES[family].lower()} {written(memory.iloc[0], column)} with "
        f"{counted(memory.index[0], 'layer')}, {written(memory.iloc[-1], column)} with "
        f"{memory.index[-1]:.0f}"
        for family, memory in deepening.items()
    )
    return Markup("{} peak of GPU memory in tensors: {}.").format(kind, told)


def statements(results: Results) -> Markup:
    """Say how the claims stand, which are contradicted, and why the others are undecided."""
    found = {name: claims.evaluate(claim, results) for name, claim in results.claims.items()}
    verdicts = pd.Series({name: one.verdict for name, one in found.items()})
    theirs = {name for name, claim in results.claims.items() if "reports" in claim}
    supported, contradicted, undecided = (
        verdicts[verdicts == each].index
        for each in (claims.SUPPORTED, claims.CONTRADICTED, claims.UNDECIDED)
    )
    text = Markup(
        "<strong>Statements.</strong> Of {} ({} of the reports) {} supported{}, {} "
        "contradicted{}, and {} undecided"
    ).format(
        counted(len(found), "statement"), len(theirs),
        _are(len(supported)),
        f" ({count} of the reports')" if (count := len(theirs & {*supported})) else "",
        _are(len(contradicted)),
        Markup(" ({})").format(_names(contradicted)) if len(contradicted) else "",
        _are(len(undecided)),
    )  # fmt: skip
    reasons = pd.Series([found[name].why for name in undecided], dtype=object).value_counts()
    why = "; ".join(f"{count} because {reason}" for reason, count in reasons.items())
    return text + (f": {why}." if why else ".")


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"


def _published(results: Results, family: str) -> Markup:
    """Say how far the reports' validation scores are from those measured with their estimator."""
    runs, score = results.runs[results.runs.family == family], SCORE[family]
    theirs = PUBLISHED_DATASET.get(family)
    if theirs is None:
        return Markup("The reports have no such models.")
    if theirs not in set(runs.dataset):
        own = ", ".join(sorted(runs.dataset.unique()))
        text = Markup("Trained on {}, not on the reports' {}, so no published figure compares.")
        return text.format(own, theirs)
    pairs = beside_published(results, family)
    if pairs.empty:
        told = results.published.query("metric == @score and split == 'validation'").experiment
        ended = "completed an epoch" if runs.experiment.isin(told).any() else "was run"
        return Markup("No experiment with a published validation {} {} here.").format(score, ended)
    between = pairs.inside.eq(True)
    count, others = counted(len(pairs), "experiment"), pairs[~between]
    # As the reports took it: results.scores_as_published.
    how = "" if family == "cnn" else ", by the reports' estimator after the last epoch,"
    learned = learned_instead(runs[runs.experiment.isin(pairs.index)]).any()
    embedding = " (with a learned embedding, not GPT-1's)" if learned else ""
    inside = f"Measured validation {score}{how} lies between A and B for {between.sum()} of {count}"
    if others.empty:
        return Markup(f"{inside}.")
    far = others.away.idxmax()
    row = others.loc[far]
    reports = [f"{name} {written(row[name], score)}" for name in REPORTS if pd.notna(row[name])]
    reach = others.reached.sum()
    reached = f"; the 95 % intervals of {reach} hold a report's figure" if reach else ""
    unit = "points" if score == "accuracy" else "%"
    median = others.away.median()
    distance = f"{100 * median:.1f}" if math.isfinite(median) else "∞"
    away = f"{distance} {unit} from the nearer report in the median"
    alone = f"Measured validation {score}{how} is {away} of {count}{embedding}"
    return Markup("{}, most for {}: {} measured, {}{}.").format(
        f"{inside}; the others are {away}" if between.any() else alone,
        _name(far), written(row.measured, score), ", ".join(reports), reached,
    )  # fmt: skip


def beside_published(results: Results, family: str) -> pd.DataFrame:
    """Return validation scores by experiment: measured, those of A and B, and how far apart.

    Only experiments that a report names and that were trained on the report's data, with scores as
    these were published (see Results.scores_as_published). `half` is half the 95 % interval of the
    measured mean, `away` its distance to the nearer report: a difference of accuracies, and a
    fraction of the published perplexity. `inside` says whether it lies between A and B, `reached`
    whether its interval holds the figure of one of them.
    """
    score = SCORE[family]
    found = estimates.intervals(results.scores_as_published(family))
    table = found.rename(columns={"mean": "measured"})
    for report in REPORTS:
        table[report] = results.published_values(report, score, "validation")
    table = table.dropna(subset="measured").dropna(subset=list(REPORTS), how="all")
    published = table[list(REPORTS)]
    distance = published.sub(table.measured, axis=0).abs().min(axis=1)
    relative = estimates.relative_distance(table.measured, published)
    return table.assign(
        away=distance if score == "accuracy" else relative,
        inside=estimates.inside(table.measured, published),
        reached=estimates.reached(table.measured, table.half, published),
    )


def _means(runs: pd.DataFrame, column: str) -> pd.Series:
    return runs.groupby("experiment")[column].mean()


def _name(experiment: str) -> Markup:
    return Markup("<code>{}</code>").format(experiment)


def _others(count: int) -> str:
    return "one other" if count == 1 else f"{count} others"


def _names(experiments: Iterable[str]) -> Markup:
    return Markup(", ").join(_name(name) for name in sorted(experiments))
