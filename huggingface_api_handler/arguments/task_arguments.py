"""Which arguments a task takes beside those of every task, and what a statement says in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..tasks import TASKS
from ..tasks.parameters import check_parameters, parameter_fields
from ..tasks.task import Argument, Input, Kind, Task
from .coercion import BadValue, as_sql, plain_json, read_value
from .names import nearest
from .parsing import ABSENT, Reader
from .specs import EXECUTION, MODEL, OUTPUT_DIR, PROMPT_TEMPLATE, SYSTEM_PROMPT, ArgumentSpec
from .validators import RULES, check_fields, check_output_dir

_OBJECTS = {form.name: form for form in MODEL if form.type == "object"}


@dataclass(slots=True)
class Draft:
    """What statements have said of a task's arguments so far; ``sources`` says which of them did."""

    columns: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    prompt_template: str | None = None
    output_dir: str | None = None
    sources: dict[str, str] = field(default_factory=dict)


# --- forms -----------------------------------------------------------------------------------


def column_form(one: Input) -> ArgumentSpec:
    """Return the form of the argument that names an input's column."""
    many = one.kind is Kind.RECORD
    example = "'age, height'" if many else f"'{_example_column(one)}'"
    return ArgumentSpec(
        one.argument, "columns" if many else "column", one.meaning, aliases=one.aliases, example=example
    )


def _example_column(one: Input) -> str:
    if one.argument.startswith("input_column"):
        return one.kind.value + one.argument.removeprefix("input_column")
    return one.argument.removesuffix("_column")


def constant_form(task: Task, one: Input) -> ArgumentSpec:
    """Return the form of the argument that gives an input the same value in every row."""
    name = str(one.constant)
    return ArgumentSpec(name, "text", f"{one.meaning}, the same for every row", example=_example(task, name, "text"))


def argument_form(task: Task, one: Argument) -> ArgumentSpec:
    """Return the form of one of a task's own arguments."""
    return ArgumentSpec(
        one.name, one.type, one.meaning, aliases=one.aliases, choices=one.choices,
        example=f"'{one.choices[0]}'" if one.choices else _example(task, one.name, one.type),
    )  # fmt: skip


_EXAMPLES = {
    "text": "'…'", "number": "0.5", "integer": "100", "boolean": "true", "list": "'first, second'", "object": "{…}",
}  # fmt: skip


def _example(task: Task, name: str, kind: str) -> str:
    if name in task.example.using:
        return as_sql(task.example.using[name])
    return _EXAMPLES.get(kind, "'…'")


def own_forms(task: Task) -> tuple[ArgumentSpec, ...]:
    """Return the forms of all that only this task, or tasks like it, take; parameters excepted."""
    forms = [column_form(one) for one in task.inputs]
    forms += [constant_form(task, one) for one in task.inputs if one.constant]
    forms += [argument_form(task, one) for one in task.arguments]
    if any(one.template for one in task.inputs):
        forms.append(PROMPT_TEMPLATE)
    if task.chat:
        forms.append(SYSTEM_PROMPT)
    if task.makes is not None:
        forms.append(OUTPUT_DIR)
    return tuple(forms)


def form_names(forms: Iterable[ArgumentSpec]) -> list[str]:
    """Return all names, aliases included."""
    return [name for form in forms for name in (form.name, *form.aliases)]


# --- reading ---------------------------------------------------------------------------------


def read_arguments(reader: Reader, task: Task, draft: Draft, layer: str, roots: tuple[str, ...]) -> None:
    """Lay what a statement says over ``draft``: what it does not name stays, null takes away.

    Args:
        layer: ``model`` or ``query``, for ``sources``.
        roots: the engine's ``media_roots``.
    """
    given = _taken(reader, _OBJECTS["parameters"], draft, layer)
    _lift(reader, task, given)
    _read_inputs(reader, task, draft, layer)
    for one in task.arguments:
        value = reader.take(argument_form(task, one), RULES.get(one.name))
        _set(draft.values, one.name, value, draft, layer)
    if task.chat:
        _set(draft.values, SYSTEM_PROMPT.name, reader.take(SYSTEM_PROMPT), draft, layer)
    if task.makes is not None:
        folder = reader.take(OUTPUT_DIR, lambda text: check_output_dir(text.strip(), roots))
        kept: dict[str, Any] = {} if draft.output_dir is None else {OUTPUT_DIR.name: draft.output_dir}
        _set(kept, OUTPUT_DIR.name, folder, draft, layer)
        draft.output_dir = kept.get(OUTPUT_DIR.name)
    read_common(reader, draft, layer)
    _read_parameters(reader, task, draft, layer, given)


def read_common(reader: Reader, draft: Draft, layer: str) -> None:
    """Lay what a statement says of options and execution over ``draft``; it is the same for every task."""
    options = _taken(reader, _OBJECTS["options"], draft, layer)
    draft.options = _without_nulls({**draft.options, **options})
    for form in EXECUTION:
        _set(draft.execution, form.name, reader.take(form), draft, layer)


def _set(values: dict[str, Any], name: str, value: Any, draft: Draft, layer: str) -> None:
    if value is ABSENT:
        return
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    _note(draft, name, layer, value)


def _note(draft: Draft, name: str, layer: str, value: Any) -> None:
    if value is None:
        draft.sources.pop(name, None)
    else:
        draft.sources[name] = layer


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _taken(reader: Reader, form: ArgumentSpec, draft: Draft, layer: str) -> dict[str, Any]:
    value = reader.take(form, check_fields)
    if value is ABSENT or value is None:
        return {}
    _note(draft, form.name, layer, value)
    return dict(value)


def _lift(reader: Reader, task: Task, given: dict[str, Any]) -> None:
    """Read the task's own arguments out of ``parameters`` as if they stood beside it."""
    for one in task.arguments:
        if one.name in given and one.name not in reader.given:
            reader.given[one.name] = given.pop(one.name)


def _read_inputs(reader: Reader, task: Task, draft: Draft, layer: str) -> None:
    """Read columns, constants and the template; of each input's ways one may be given, and takes the others' place."""
    template = reader.take(PROMPT_TEMPLATE) if any(one.template for one in task.inputs) else ABSENT
    for one in task.inputs:
        column_of = column_form(one)
        column = reader.take(column_of)
        constant = reader.take(constant_form(task, one)) if one.constant else ABSENT
        ways = {
            column_of.name: column,
            **({one.constant: constant} if one.constant else {}),
            **({PROMPT_TEMPLATE.name: template} if one.template else {}),
        }
        chosen = [name for name, value in ways.items() if value is not ABSENT and value is not None]
        if len(chosen) > 1:
            reader.fault(f"{chosen[0]} and {chosen[1]} exclude each other: write one of them")
        for name, value in ways.items():
            if value is None or (chosen and name not in chosen):
                _drop(draft, one, name)
        if column_of.name in chosen:
            draft.columns[one.argument] = tuple(column) if isinstance(column, list) else column
        if one.constant in chosen:
            draft.values[str(one.constant)] = constant
        if PROMPT_TEMPLATE.name in chosen:
            draft.prompt_template = str(template)
        for name in chosen:
            _note(draft, name, layer, name)


def _drop(draft: Draft, one: Input, name: str) -> None:
    draft.sources.pop(name, None)
    if name == one.argument:
        draft.columns.pop(name, None)
    elif name == one.constant:
        draft.values.pop(name, None)
    else:
        draft.prompt_template = None


def _read_parameters(reader: Reader, task: Task, draft: Draft, layer: str, given: Mapping[str, Any]) -> None:
    """Read the fields of the Hub's parameter type, out of ``parameters`` and flat."""
    flat: dict[str, Any] = {}
    left = reader.left()
    fields = {one.name.lower(): one for one in parameter_fields(task)} if left or given else {}
    inside = {name.lower() for name in given}
    for name in left:
        if name not in fields:
            continue
        if name in inside:
            reader.fault(f"{name} is given twice, beside parameters and inside: write one of them")
        try:
            flat[fields[name].name] = read_value(ArgumentSpec(name, "any", ""), reader.claim(name))
        except BadValue as fault:
            reader.fault(f"{name} {fault}")
    if not given and not flat:  # most queries: huggingface_hub need not be imported
        return
    values, faults = check_parameters(task, {**given, **flat}, keep_unknown=True)
    for text in faults:
        reader.fault(text)
    for name, value in values.items():
        try:
            values[name] = plain_json(value)
        except BadValue as fault:
            reader.fault(f"{name} {fault}")
    gone = {name.lower() for name, value in {**given, **flat}.items() if value is None}
    for name in [one for one in draft.parameters if one.lower() in gone]:
        del draft.parameters[name]
        draft.sources.pop(name, None)
    draft.parameters.update(values)
    draft.sources.update(dict.fromkeys(values, layer))


# --- what is missing, what is too much -------------------------------------------------------


def note_missing(reader: Reader, task: Task, draft: Draft) -> None:
    """Note inputs and arguments that the task cannot do without."""
    for one in task.inputs:
        if one.kind is Kind.RECORD or not one.required or _is_fed(one, draft) or _was_tried(reader, task, one):
            continue
        if one.kind is Kind.TABLE and not draft.columns:  # then the query's own rows are the table
            continue
        form = column_form(one)
        ways = [f"{form.name} = {form.example}"]
        if one.constant:
            ways.append(f"{one.constant} = {constant_form(task, one).example}")
        if one.template:
            ways.append(f"{PROMPT_TEMPLATE.name} = {PROMPT_TEMPLATE.example}")
        reader.fault(f"task '{task.name}' needs {form.name}: write {' or '.join(ways)}")
    for argument in task.arguments:
        form = argument_form(task, argument)
        if argument.required and argument.name not in draft.values and not reader.has(form):
            reader.fault(f"task '{task.name}' needs {form.name}: write {form.name} = {form.example}")


def _is_fed(one: Input, draft: Draft) -> bool:
    by_template = one.template and draft.prompt_template is not None
    by_constant = one.constant is not None and one.constant in draft.values
    return by_template or by_constant or one.argument in draft.columns


def _was_tried(reader: Reader, task: Task, one: Input) -> bool:
    """Say whether the statement names the input, if badly: that fault is enough."""
    return (
        reader.has(column_form(one))
        or (one.constant is not None and reader.has(constant_form(task, one)))
        or (one.template and reader.has(PROMPT_TEMPLATE))
    )


def note_unknown(reader: Reader, task: Task | None, generic: Iterable[ArgumentSpec]) -> None:
    """Note the arguments that nothing has asked for, each with what may have been meant.

    Args:
        task: ``None`` where it is not known: then only what no task takes is noted.
    """
    left = reader.left()
    if not left:
        return
    common = form_names(generic)
    if task is None:
        anywhere = common + [name for one in TASKS.values() for name in _names_of(one)]
        for name in left:
            if name not in anywhere:
                reader.unknown(name, anywhere)
        return
    own = form_names(own_forms(task))
    fields = [one.name for one in parameter_fields(task)]
    told = f": task '{task.name}' takes {_told(task, fields)}"
    for name in left:
        elsewhere = [one.name for one in TASKS.values() if name in form_names(own_forms(one))]
        near = nearest(name, [*own, *fields, *common])
        if elsewhere and (near is None or near not in own):
            reader.fault(f"{name} is not for task '{task.name}' but for {_some(elsewhere)}")
        else:
            reader.unknown(name, [*own, *fields, *common], told)
            told = told if near else ""  # once is enough


def _names_of(task: Task) -> list[str]:
    return [*form_names(own_forms(task)), *(one.name for one in parameter_fields(task))]


def _told(task: Task, fields: list[str]) -> str:
    names = [*(form.name for form in own_forms(task)), *fields]
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"{shown}, and what its service knows beside them inside parameters = {{…}}"


def _some(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]}, {names[1]} and others"
