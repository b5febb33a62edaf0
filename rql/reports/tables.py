"""The tables of a comparison, each once for page, Markdown and CSV."""

from itertools import combinations
from pathlib import Path

from rql.reports import statistics
from rql.reports.cells import Cell, Link, Links, Noted, Table, short
from rql.reports.comparison import Comparison, Take, baseline, final, final_return, gain
from rql.reports.grouping import Arm, find_fixed
from rql.reports.quantities import quantities
from rql.reports.runs import Run, RunStatus
from rql.reports.statistics import Estimate
from rql.utils.text import written

MOST_PAIRS = 66
"""The number of pairs that the page shows; the CSV has all."""


def make_tables(comparison: Comparison) -> list[Table]:
    """All tables of a comparison, in the order of the page."""
    found = [results(comparison)] if comparison.finished else []
    if len(comparison.tasks) > 1:
        found.append(results_by_task(comparison))
    if comparison.finished:
        found.append(along_the_stages(comparison))
    if len(comparison.compared) > 1:
        found.append(pairs(comparison))
    if comparison.finished:
        found += [other_statistics(comparison), cost(comparison)]
    return [*found, held_fixed(comparison), troubled(comparison), all_runs(comparison)]


def results(comparison: Comparison) -> Table:
    """The table that answers whether the runs of each arm ended above their own clones, and which arm ended best."""
    unit, clone = comparison.unit, comparison.baseline
    scored = len(comparison.tasks) == 1 and comparison.scale.references is None
    header = ["arm", "runs", f"IQM {unit}"]
    header += [clone, f"gain over {clone}", "P(gain > 0)", "worst dip"] if clone else []
    header += [f"IQM {comparison.scale.title}"] if scored else []
    beside = comparison.shares and len(comparison.tasks) == 1
    header += ["IQM return"] if beside else []
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        runs = comparison.finished_of(arm)
        cells = _ends(comparison, runs) + ([_dip(comparison, runs)] if clone else [])
        cells += [comparison.estimate(runs, final_return, statistics.iqm)] if beside else []
        cells += [comparison.estimate(runs, final, statistics.iqm, scored=True)] if scored else []
        rows.append((arm.label, _count(comparison, arm), *cells))
    note = f"How {comparison.policy} ends, after the last stage: interquartile means (IQM), the best arm first."
    if clone:
        note += (
            f" The gain is that of each run over its own {clone}; P(gain > 0) is the share of runs above it; the worst "
            f"dip is the lowest evaluation of the last stage less {clone} in the same episodes, over all runs."
        )
    note += " In brackets: 95 % intervals."
    return Table("final", "Result", note, tuple(header), tuple(rows), best=len(comparison.compared) > 1, latex=True)


def results_by_task(comparison: Comparison) -> Table:
    """The same in each task's headline, such as its returns, over which they cannot be averaged."""
    clone, beside = comparison.baseline, comparison.shares
    headlines = list(dict.fromkeys(comparison.scale.headlines.values()))
    mixed, unit = len(headlines) > 1, headlines[0].unit if len(headlines) == 1 else "headline"
    header = ["task", *(["headline"] if mixed else []), "arm", "runs", f"IQM {unit}"]
    header += [clone, f"gain over {clone}", "P(gain > 0)"] if clone else []
    header += ["IQM return"] if beside else []
    rows: list[tuple[Cell, ...]] = []
    for alone in map(comparison.of_task, comparison.tasks):
        task = [*alone.tasks, *([alone.unit] if mixed else [])]
        for arm in comparison.compared:
            if runs := alone.finished_of(arm, alone.tasks[0]):
                returns = [alone.estimate(runs, final_return, statistics.iqm)] if beside else []
                rows.append((*task, arm.label, len(runs), *_ends(alone, runs), *returns))
    own = " and ".join(headline.units for headline in headlines)
    note = f"How {comparison.policy} ends, in each task's own {own}."
    return Table("tasks", "Result by task", note, tuple(header), tuple(rows))


def _ends(comparison: Comparison, runs: list[Run]) -> list[Cell]:
    """How runs end, and, where some run of the comparison has a baseline, how much above their own."""
    ends: list[Cell] = [comparison.estimate(runs, final, statistics.iqm)]
    if comparison.baseline:
        clones = comparison.samples(runs, baseline)
        ends.append(float(statistics.iqm(*clones)) if clones else None)
        ends += [comparison.estimate(runs, gain, statistics.iqm), comparison.chance_of_gain(runs)]
    return ends


def _dip(comparison: Comparison, runs: list[Run]) -> Cell:
    """The lowest evaluation of the last stage less the run's own baseline, with the run's seed, and its task."""
    dips = [(dip, run) for run in runs if (dip := comparison.outcomes[run.directory].dip) is not None]
    if not dips:
        return None
    dip, run = min(dips, key=lambda found: found[0])
    return Noted(dip, f"seed {run.seed}" + (f", {run.task}" if len(comparison.tasks) > 1 else ""))


def other_statistics(comparison: Comparison) -> Table:
    """The table of the ends by other statistics, and in scores."""
    unit, scored = comparison.unit, len(comparison.tasks) == 1 and not comparison.shares
    header = ["arm", f"mean {unit}", f"median {unit}", "optimality gap of the score"]
    header += [f"IQM {comparison.scale.title}"] if scored else []
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.compared:
        runs = comparison.finished_of(arm)
        cells = [comparison.estimate(runs, final, how) for how in (statistics.mean, statistics.median)]
        cells.append(comparison.estimate(runs, final, statistics.optimality_gap, scored=True))
        cells += [comparison.estimate(runs, final, statistics.iqm, scored=True)] if scored else []
        rows.append((arm.label, *cells))
    note = "The same ends by other statistics. Of up to three runs, the interquartile mean is the mean."
    return Table("statistics", "Other statistics", note, tuple(header), tuple(rows), folded=True)


def along_the_stages(comparison: Comparison) -> Table:
    """The table of what happened on the way to the end of the runs."""
    columns = quantities(comparison)
    rows = [
        (
            arm.label,
            *(comparison.estimate(comparison.finished_of(arm), column.take, statistics.mean) for column in columns),
        )
        for arm in comparison.compared
    ]
    note = (
        f"Means ({comparison.unit}). The area is the mean over the steps of an online stage (trapezoidal rule, from "
        "the end of the stage before on)."
    )
    if comparison.baseline:
        note += f" The worst is the lowest evaluation in a stage less {comparison.baseline} in the same episodes."
    return Table("stages", "Along the stages", note, ("arm", *(column.title for column in columns)), tuple(rows))


def cost(comparison: Comparison) -> Table:
    """The table of wall time and throughput."""
    columns = {"wall_seconds": "wall time [s]"}
    columns |= {f"{stage.name}/updates_per_second": f"{stage.name} updates/s" for stage in comparison.stages}
    if any(stage.online for stage in comparison.stages):
        columns["env_steps_per_second"] = "environment steps/s"
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.compared:
        cells: list[Cell] = []
        for key in columns:
            found = [float(run.summary[key]) for run in comparison.finished_of(arm) if key in run.summary]
            cells.append(Estimate(sum(found) / len(found), min(found), max(found)) if found else None)
        rows.append((arm.label, *cells))
    note = "Mean over the runs; in brackets the range from the lowest to the highest. Rates count training alone."
    return Table("cost", "Wall time and throughput", note, ("arm", *columns.values()), tuple(rows), folded=True)


def pairs(comparison: Comparison) -> Table:
    """The table of each arm against each other."""
    rows: list[tuple[Cell, ...]] = []
    for first, second in combinations(comparison.compared, 2):
        runs = comparison.finished_of(first), comparison.finished_of(second)
        rows.append((first.label, second.label, comparison.improvement(*runs)))
    note = "Probability that a run of X ends better than one of Y, the mean over the tasks of both; ties count ½."
    header = ("X", "Y", "P(X > Y)")
    return Table("improvement", "Arm against arm", note, header, tuple(rows), most=MOST_PAIRS, folded=True)


def held_fixed(comparison: Comparison) -> Table:
    """The table of what was the same in all runs."""
    fixed = find_fixed([run for arm in comparison.arms for run in arm.runs])
    rows = tuple((key, written(value)) for key, value in fixed.items())
    note = "What decides a run and was the same in all: the choices of groups, then keys."
    return Table("fixed", "Held fixed", note, ("key", "value"), rows, ("key", "value"), folded=True)


def troubled(comparison: Comparison) -> Table:
    """The table of runs that did not come to their end, and are in no statistic."""
    labels = _labels(comparison)
    rows = [
        (
            _place(comparison, run),
            run.status.value,
            run.reason,
            labels.get(run.directory, ""),
            _last(run),
            run.command,
        )
        for run in comparison.runs
        if run.status is not RunStatus.finished
    ]
    note = "None of these is in the statistics." if rows else "Every run finished."
    header = ("run", "status", "reason", "arm", "last evaluation", "command")
    return Table("unfinished", "Failed and missing runs", note, header, tuple(rows), ("command",))


def all_runs(comparison: Comparison) -> Table:
    """The table of all runs, with the commands that create them again; the page has what one asks for first."""
    labels = _labels(comparison)
    shown: list[tuple[str, Take]] = [("gain", gain)] if comparison.baseline else []
    shown += [("return", final_return)] if comparison.shares else []
    others = [(one.name, one.take) for one in quantities(comparison)]
    rows: list[tuple[Cell, ...]] = []
    for run in _sorted(comparison):
        found = comparison.outcomes.get(run.directory)
        values: list[Cell] = [take(found) if found else None for _, take in [*shown, *others]]
        values = [_final(comparison, run) if found else None, *values]
        code = ", ".join(dict.fromkeys(run.code_versions))
        films = Links(tuple(Link(film.stem, film) for film in run.films))
        task = run.task if run.config else None
        described: list[Cell] = [labels.get(run.directory, ""), task, run.seed, run.status.value]
        wall = run.summary.get("wall_seconds")
        rows.append((_place(comparison, run), *described, *values, wall, code, films, run.command))
    names = ["final", *(name for name, _ in [*shown, *others])]
    header = ("run", "arm", "task", "seed", "status", *names, "wall_seconds", "code", "films", "command")
    hidden = [name for name, _ in others] + ["wall_seconds", "code"]
    hidden += ["task"] if len(comparison.tasks) == 1 else []
    hidden += [] if any(run.films for run in comparison.runs) else ["films"]
    note = (
        f"In {comparison.scale.units}; the command creates the run again, with the version of the code that runs.csv "
        "has beside it. Links lead to the run's folder and its films, where they were as the report was made."
    )
    note += " In brackets: the 95 % interval of the run's last evaluation." if comparison.shares else ""
    return Table("runs", "All runs", note, header, tuple(rows), ("command",), tuple(hidden))


def _final(comparison: Comparison, run: Run) -> Cell:
    """How a run ends, with the interval of its last evaluation where that is a share of its episodes."""
    value = comparison.outcomes[run.directory].final
    interval = comparison.scale.interval(run, run.at(run.compared_stages[-1].name)[-1])
    return Estimate(value, *interval) if interval else value


def _sorted(comparison: Comparison) -> list[Run]:
    """The runs by arm, task and seed; at the end those without a configuration."""
    places = {run.directory: place for place, arm in enumerate(comparison.arms) for run in arm.runs}
    last = len(comparison.arms)
    return sorted(comparison.runs, key=lambda run: (places.get(run.directory, last), run.task, run.seed or 0))


def _labels(comparison: Comparison) -> dict[Path, str]:
    return {run.directory: arm.label for arm in comparison.arms for run in arm.runs}


def _count(comparison: Comparison, arm: Arm) -> str:
    finished = len(comparison.finished_of(arm))
    return str(finished) if finished == len(arm.runs) else f"{finished} of {len(arm.runs)}"


def _last(run: Run) -> str:
    if not run.evaluations:
        return ""
    last = run.evaluations[-1]
    found = [f"{one.unit} {short(one.scale * one.value(last.figures))}" for one in run.headline.shown]
    return f"{last.stage} {last.step:,}: {', '.join(found)}"


def _place(comparison: Comparison, run: Run) -> Links:
    """The run's folder, seen from the directory of the report where there is but one."""
    name = str(run.directory)
    if len(comparison.directories) == 1 and run.directory != comparison.directories[0]:
        name = str(run.directory.relative_to(comparison.directories[0]))
    return Links((Link(name, run.directory),))
