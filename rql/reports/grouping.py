"""Which runs are seeds of one experiment: what differs between their configurations makes the arms of a comparison."""

import json
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from rql.config.roles import decides, with_schemas
from rql.reports.runs import Run
from rql.runs.folder import values_of
from rql.utils.errors import RQLError
from rql.utils.text import written

SEED = "seed"

Value = str | int | float | None
Column = tuple[Value, ...]
"""A value for each run; None where it has no such key."""


@dataclass(frozen=True)
class Factor:
    """Something that was varied: a key, or the choice of a group."""

    name: str
    values: Column
    """The value that each run has."""
    also: tuple[str, ...] = ()
    """Other keys that change when this one does, and only then."""

    @property
    def numeric(self) -> bool:
        """Whether this factor is a number that takes several values."""
        given = {value for value in self.values if value is not None}
        return len(given) > 1 and not any(isinstance(value, str | bool) for value in given)


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but task and seed."""

    label: str
    setting: dict[str, Value]
    """The value of each factor."""
    runs: tuple[Run, ...]


def find_factors(runs: Sequence[Run], by: Sequence[str] | None) -> list[Factor]:
    """The factors that were varied; or the keys and groups that `by` names.

    Without `by`, they are the keys whose values differ, except `seed`, what does not make another experiment, and
    what the task decides. A group whose choice differs stands for the keys that it decides, and for all where it
    decides all; of several that differ together the shortest name, a typed one first, stands for all.

    Raises:
        RQLError: if `by` names something that no run has; it lists what there is.
    """
    leaves, groups = _leaves(runs), _groups(runs)
    if by is not None:
        return [_named(name, runs, leaves, groups) for name in by]
    groups = _deciding(groups, runs)
    tasks, seeds = tuple(run.task for run in runs), _leaf(runs, SEED)
    columns = {
        key: column
        for key, column in _deciding(leaves, runs).items()
        if _varies(column) and key != SEED and column != seeds
    }
    if _varies(tasks):
        columns = {key: column for key, column in columns.items() if not _decides(tasks, column)}
        groups = {name: choices for name, choices in groups.items() if not _decides(tasks, choices)}
    recorded = {name for run in runs for name in with_schemas(run.choices)}
    columns = _groups_for_keys(columns, groups, recorded) | columns
    whole = _group_for_all(columns, groups)
    if whole:
        return [Factor(whole, groups[whole], tuple(sorted(columns.keys() - {whole})))]
    return _collapsed(columns, _typed(runs))


def find_fixed(runs: Sequence[Run]) -> dict[str, Value]:
    """What decides the experiment of every run and is the same in all: the choices of groups, then keys."""
    groups = _groups(runs)
    columns = _deciding(groups | _leaves(runs) | groups, runs)  # groups first, and an agent without keys by its name
    same = {key: column[0] for key, column in columns.items() if key != SEED and not _varies(column)}
    return {key: value for key, value in same.items() if value is not None}


def typed_in_all(runs: Sequence[Run]) -> set[str]:
    """The keys and groups that somebody typed for every run."""
    return set.intersection(*({*values_of(run.overrides)} for run in runs))


def make_arms(runs: Sequence[Run], factors: Sequence[Factor]) -> list[Arm]:
    """The runs by the values of the factors, in the order of these values."""
    found: dict[Column, list[Run]] = {}
    for position, run in enumerate(runs):
        found.setdefault(tuple(factor.values[position] for factor in factors), []).append(run)
    names = [factor.name for factor in factors]
    return [
        Arm(label_of(names, setting), dict(zip(names, setting, strict=True)), tuple(found[setting]))
        for setting in sorted(found, key=lambda values: [sort_key(value) for value in values])
    ]


def sort_key(value: Value) -> tuple[int, float, str]:
    """A key that sorts nothing before numbers, and these before text."""
    if value is None:
        return 0, 0.0, ""
    return (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")


def label_of(names: Sequence[str], values: Column) -> str:
    """The label of a setting, without the factors that have no value in it."""
    parts = [f"{name}={written(value)}" for name, value in zip(names, values, strict=True) if value is not None]
    return ", ".join(parts) or "all runs"


def _leaves(runs: Sequence[Run]) -> dict[str, Column]:
    keys = dict.fromkeys(key for run in runs for key in run.config)
    return {key: _leaf(runs, key) for key in keys}


def _leaf(runs: Sequence[Run], key: str) -> Column:
    return tuple(_plain(run.config[key]) if key in run.config else None for run in runs)


def _deciding(columns: dict[str, Column], runs: Sequence[Run]) -> dict[str, Column]:
    """The columns with None for each run of whose experiment the key, or the group, is no part."""
    return {
        key: tuple(value if decides(key, run.choices) else None for value, run in zip(column, runs, strict=True))
        for key, column in columns.items()
    }


def _plain(value: object) -> Value:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _groups(runs: Sequence[Run]) -> dict[str, Column]:
    """The choices of groups: those that the runs recorded, and those that were typed."""
    chosen = [_typed_choices(run) | run.choices for run in runs]
    names = dict.fromkeys(name for choices in chosen for name in choices)
    return {name: tuple(choices.get(name) for choices in chosen) for name in names}


def _typed_choices(run: Run) -> dict[str, str]:
    given = values_of(run.overrides)
    return {key: value for key, value in given.items() if not {".", "/", "~"} & {*key} and key not in run.config}


def _typed(runs: Sequence[Run]) -> set[str]:
    return {key for run in runs for key in values_of(run.overrides)}


def _varies(column: Column) -> bool:
    return len(set(column)) > 1


def _decides(first: Column, second: Column) -> bool:
    """Whether the second column is a function of the first."""
    return len(set(zip(first, second, strict=True))) == len(set(first))


def _groups_for_keys(
    columns: dict[str, Column], groups: dict[str, Column], recorded: Container[str]
) -> dict[str, Column]:
    """The groups that stand for keys, which are taken out of `columns`; and those that runs recorded as what they are,
    for a linear β and a cosine one have the same keys.
    """
    standing: dict[str, Column] = {}
    for name, choices in groups.items():
        if not _varies(choices) or None in choices:
            continue
        members = [
            key
            for key, column in columns.items()
            if key.startswith(f"{name.replace('/', '.')}.") and _decides(choices, column)
        ]
        twins = [key for key, column in columns.items() if _same_parts(choices, column)]
        alone = members == twins and len(members) == 1 and Factor(name, columns[members[0]]).numeric
        if alone or not (members or twins or name in recorded):
            continue  # its one number says more than its name, or it changes nothing
        standing[name] = choices
        for key in members:
            del columns[key]
    return standing


def _group_for_all(columns: dict[str, Column], groups: dict[str, Column]) -> str | None:
    """The group whose choice decides everything that differs, and is decided by it: an ablation, say."""
    joint = tuple(zip(*columns.values(), strict=True))
    if len(columns) < 2:
        return None
    whole = [name for name, choices in groups.items() if None not in choices and _same_parts(choices, joint)]
    return min(whole, key=len, default=None)


def _same_parts(first: Sequence[object], second: Sequence[object]) -> bool:
    """Whether each of two columns is a function of the other."""
    return len(set(first)) == len(set(second)) == len(set(zip(first, second, strict=True)))


def _collapsed(columns: dict[str, Column], typed: Iterable[str]) -> list[Factor]:
    """One factor for all columns that change together."""
    classes: dict[Column, list[str]] = {}
    for name, column in columns.items():
        first = {value: position for position, value in reversed(list(enumerate(column)))}
        classes.setdefault(tuple(first[value] for value in column), []).append(name)
    return [_factor(sorted(names, key=_brevity(set(typed))), columns) for names in classes.values()]


def _factor(names: Sequence[str], columns: dict[str, Column]) -> Factor:
    return Factor(names[0], columns[names[0]], tuple(names[1:]))


def _brevity(typed: set[str]) -> Callable[[str], tuple[bool, bool, int, str]]:
    """Groups and other short names first; among them what somebody typed."""
    return lambda name: (name not in typed, "." in name, len(name), name)


def _named(name: str, runs: Sequence[Run], leaves: dict[str, Column], groups: dict[str, Column]) -> Factor:
    if name in groups:
        return Factor(name, groups[name])
    if name in leaves:
        return Factor(name, leaves[name])
    found = [factor.name for factor in find_factors(runs, None)]
    differing = [key for key, column in leaves.items() if _varies(column) and not key.startswith("tracking.")]
    usable = list(dict.fromkeys([*found, *groups, *differing]))
    raise RQLError(
        f"--by {name} is not possible: no run has it; what differs is {', '.join(found) or 'nothing but the seed'}, "
        f"and runs can be grouped by any key of their config.yaml and by {', '.join(usable) or 'nothing else'}"
    )
