"""Reads the arguments that depend on the task, and those of every query, from a statement into a ``Draft``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import one_line
from ..tasks import TASKS
from ..tasks.task import Input, Kind, ModelFacts, Task
from .coercion import BadValue, as_sql, read_value, shown
from .examples import check_examples, rendered
from .names import nearest
from .parsing import ABSENT, Reader
from .schema import check_schema
from .settings import EngineSettings
from .specs import (
    AUDIT,
    AUDIT_AGREEMENT,
    ENGINE_ONLY,
    EXAMPLES,
    EXECUTION,
    OPTIONS,
    OUTPUT_DIR,
    OUTPUT_SCHEMA,
    PACKING,
    PARAMETERS,
    PROMPT_TEMPLATE,
    ROWS_PER_REQUEST,
    SYSTEM_PROMPT,
    ArgumentSpec,
    Execution,
)
from .task_specs import (
    all_names,
    argument_spec,
    column_spec,
    constant_spec,
    model_names,
    own_specs,
    parameter_specs,
)
from .validators import PARAMETER_RULES, check_constant, check_labels, check_output_dir


@dataclass(slots=True)
class Draft:
    """The arguments of one or more statements, the later over the earlier.

    Attributes:
        layer: the statement that is read into it: ``model`` or ``query``.
        sources: argument → the layer that gave it.
    """

    layer: str
    columns: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    prompt_template: str | None = None
    output_dir: str | None = None
    sources: dict[str, str] = field(default_factory=dict)

    def put(self, values: dict[str, Any], name: str, value: Any) -> None:
        """Set an argument in ``values``; ``None`` removes it, ``ABSENT`` leaves what it was."""
        if value is ABSENT:
            return
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
        self.note(name, value)

    def note(self, name: str, value: Any) -> None:
        """Record that the statement gives an argument, or with ``None`` that it removes it."""
        if value is None:
            self.sources.pop(name, None)
        else:
            self.sources[name] = self.layer


# --- reading ---------------------------------------------------------------------------------


def read_arguments(reader: Reader, task: Task, draft: Draft, roots: tuple[str, ...]) -> None:
    """Read a statement over ``draft``: arguments that it does not name stay, NULL removes them.

    What is missing then is recorded as a fault, and so are examples that do not fit.

    Args:
        roots: the engine's ``media_roots``.
    """
    given = _taken(reader, PARAMETERS, draft)
    _lift(reader, task, given)
    _read_inputs(reader, task, draft)
    specs: list[tuple[ArgumentSpec, Callable[[Any], Any] | None]]
    specs = [(argument_spec(task, one), None) for one in task.arguments]
    if task.chat:
        specs += [(SYSTEM_PROMPT, _check_system_prompt), (OUTPUT_SCHEMA, check_schema), (EXAMPLES, check_examples)]
        specs += [(spec, None) for spec in PACKING]
    for spec, check in specs:
        draft.put(draft.values, spec.name, reader.take(spec, check))
    if task.makes is not None:
        folder = reader.take(OUTPUT_DIR, lambda text: check_output_dir(text.strip(), roots))
        if folder is not ABSENT:
            draft.output_dir = folder
            draft.note(OUTPUT_DIR.name, folder)
    read_common(reader, draft)
    _read_parameters(reader, task, draft, given)
    _read_limits(reader, draft)
    _note_missing(reader, task, draft)
    _note_answers(reader, draft)


def _check_system_prompt(text: str) -> str:
    return check_constant(text, "put the column into prompt_template")


def read_common(reader: Reader, draft: Draft) -> None:
    """Read options and ``Execution`` over ``draft``; they are the same for every task."""
    options = {**draft.options, **_taken(reader, OPTIONS, draft)}
    draft.options = {name: value for name, value in options.items() if value is not None}
    for spec in EXECUTION:
        if draft.layer in spec.levels:
            draft.put(draft.execution, spec.name, reader.take(spec))


def _taken(reader: Reader, spec: ArgumentSpec, draft: Draft) -> dict[str, Any]:
    value = reader.value(spec)
    if value is None:
        return {}
    draft.note(spec.name, value)
    return dict(value)


def _lift(reader: Reader, task: Task, given: dict[str, Any]) -> None:
    """Treat the task's own arguments inside ``parameters`` as if they were written beside it."""
    for one in task.arguments:
        if one.name in given and one.name not in reader.given:
            reader.given[one.name] = given.pop(one.name)


def _read_inputs(reader: Reader, task: Task, draft: Draft) -> None:
    """Read columns, constants and the template. Each input has one of them, and a new one replaces the old."""
    template = reader.take(PROMPT_TEMPLATE) if any(one.template for one in task.inputs) else ABSENT
    for one in task.inputs:
        column_of = column_spec(one)
        column = reader.take(column_of)
        constant = _take_constant(reader, task, one) if one.constant else ABSENT
        ways = {
            column_of.name: column,
            **({one.constant: constant} if one.constant else {}),
            **({PROMPT_TEMPLATE.name: template} if one.template else {}),
        }
        chosen = [name for name, value in ways.items() if value is not ABSENT and value is not None]
        if len(chosen) > 1:
            reader.fault(f"{chosen[0]} and {chosen[1]} are mutually exclusive: write only one of them")
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
            draft.note(name, name)


def _take_constant(reader: Reader, task: Task, one: Input) -> Any:
    def check(text: str) -> str:
        if one.template:
            instead = f"write {PROMPT_TEMPLATE.name} = {as_sql(one_line(text, 80))}"
        else:
            instead = f"build the text in a sub-select, and write {one.argument} = {column_spec(one).example}"
        return check_constant(text, instead)

    return reader.take(constant_spec(task, one), check)


def _drop(draft: Draft, one: Input, name: str) -> None:
    draft.sources.pop(name, None)
    if name == one.argument:
        draft.columns.pop(name, None)
    elif name == one.constant:
        draft.values.pop(name, None)
    else:
        draft.prompt_template = None


def _read_parameters(reader: Reader, task: Task, draft: Draft, given: Mapping[str, Any]) -> None:
    """Read the parameters of the task, inside ``parameters`` and beside it; unknown ones only inside."""
    left = reader.left()
    if not given and not left:  # most queries: huggingface_hub need not be imported
        return
    known = {spec.name.lower(): spec for spec in parameter_specs(task)}
    inside = {name.lower(): name for name in given}
    values = dict(given)
    for name in left:
        if name in known:
            if name in inside:
                reader.fault(f"{name} is given twice, inside parameters and beside it: write it once")
            values[inside.get(name, name)] = reader.claim(name)
    for name, value in values.items():
        spec = known.get(name.lower(), ArgumentSpec(name, "any", ""))
        _drop_parameter(draft, name)
        if value is None:
            continue
        try:
            value, check = read_value(spec, value), PARAMETER_RULES.get(spec.name)
            draft.parameters[spec.name] = value if check is None else check(value)
            draft.sources[spec.name] = draft.layer
        except BadValue as fault:
            reader.fault(f"{spec.name} {fault.with_example(spec)}")


#: Names of one limit.
_LIMITS = ("max_output_length", "max_new_tokens", "max_tokens")


def _read_limits(reader: Reader, draft: Draft) -> None:
    """Let a statement's limit of tokens replace one that an earlier statement gives by another name."""
    given = [name for name in _LIMITS if draft.sources.get(name) == draft.layer]
    if len(given) > 1:
        reader.fault(f"{given[0]} and {given[1]} are the same limit: write only one of them")
    for name in _LIMITS:
        if given and name in draft.sources and name not in given:
            draft.put(draft.values, name, None)
            _drop_parameter(draft, name)


def _drop_parameter(draft: Draft, name: str) -> None:
    for one in [one for one in draft.parameters if one.lower() == name.lower()]:
        del draft.parameters[one]
        draft.sources.pop(one, None)


# --- the whole -------------------------------------------------------------------------------


def drafted(draft: Draft, engine: EngineSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of ``ModelSettings`` that a draft and its engine determine, and the sources of all arguments.

    ``Execution`` is the draft's, over the engine's, over the defaults; the engine's caps hold in any case.
    """
    given = {name: value for name, value in draft.execution.items() if not _exceeds_cap(name, value, engine)}
    inherited = {
        spec.name: "engine" if spec.name in engine.execution else "default"
        for spec in EXECUTION
        if spec.name not in given
    }
    shared = {
        "columns": draft.columns,
        "prompt_template": draft.prompt_template,
        "output_dir": draft.output_dir,
        "values": draft.values,
        "parameters": draft.parameters,
        "options": draft.options,
        "execution": Execution(**{**engine.execution, **given}),
        "media_roots": engine.media_roots,
    }
    return shared, {**draft.sources, **inherited}


_CAPS = frozenset(spec.name for spec in EXECUTION if spec.is_cap)


def _exceeds_cap(name: str, value: Any, engine: EngineSettings) -> bool:
    return name in _CAPS and name in engine.execution and value > engine.execution[name]


def note_conflicts(reader: Reader, facts: ModelFacts | None, draft: Draft, model: str | None) -> None:
    """Record arguments that do not fit the model, or do not go together."""
    _note_labels(reader, facts, draft)
    _note_languages(reader, draft, model)
    _note_packing(reader, draft)


def _note_labels(reader: Reader, facts: ModelFacts | None, draft: Draft) -> None:
    """Record ``labels`` that do not fit the labels of the model, if the Hub's record names those."""
    names = draft.values.get("labels")
    if not names or draft.sources.get("labels") != draft.layer or facts is None or not facts.id2label:
        return
    own = [label for _, label in sorted(facts.id2label.items(), key=lambda item: int(item[0]))]
    try:
        check_labels(names, own, facts.id or "the model")
    except BadValue as fault:
        reader.fault(f"labels {fault}")


#: Names of models that translate one language into one other.
_ONE_PAIR = re.compile(r".*\bopus-mt-(?:tc-[a-z]+-)?([a-z]{2})-([a-z]{2})")
#: Codes such as spa and spa_Latn, which may begin with other letters than es.
_THREE_LETTERS = re.compile(r"[a-z]{3}(?![a-z])", re.I)


def _note_languages(reader: Reader, draft: Draft, model: str | None) -> None:
    """Record languages that are not those of the model, and one without the other, which no service takes.

    Those of a stored model are its own: what an older version accepted stays usable.
    """
    given = {name: draft.values.get(name) for name in ("lang_input", "lang_output")}
    if given.keys().isdisjoint(reader.given):
        return
    pair = _ONE_PAIR.fullmatch(model or "")
    if pair is not None:
        for (name, value), own in zip(given.items(), pair.groups(), strict=True):
            if value is not None and not value.lower().startswith(own) and not _THREE_LETTERS.match(value):
                reader.fault(
                    f"{name} = {shown(value)} has no effect on {model}, which translates from {pair[1]} to {pair[2]}: "
                    "create a model with the model_name of another one, or without model_name"
                )
    elif model is not None and None in given.values() and any(given.values()):
        missing = next(name for name, value in given.items() if value is None)
        reader.fault(f"lang_input and lang_output belong together: write {missing}, too")


#: Parameters that ask for answers of another form than ``output_schema``.
_OTHER_FORMS = ("response_format", "tools")


def _note_answers(reader: Reader, draft: Draft) -> None:
    """Record an ``output_schema`` or ``examples`` that do not go with the other arguments."""
    schema = draft.values.get(OUTPUT_SCHEMA.name)
    if schema is not None:
        for name in _OTHER_FORMS:
            if draft.parameters.get(name) is not None:
                reader.fault(f"output_schema and {name} are mutually exclusive: write only one of them")
    try:
        rendered(draft.values.get(EXAMPLES.name) or (), draft.prompt_template, schema)
    except BadValue as fault:
        reader.fault(f"examples {fault}")


#: Arguments that rows with a shared prompt cannot have → why.
_NOT_PACKED: Mapping[str, str] = {
    **dict.fromkeys(("tools", "tool_choice", "tool_prompt"), "a tool call belongs to one row"),
    **dict.fromkeys(("logprobs", "top_logprobs"), "probabilities of tokens belong to one row"),
    "n": "a row has one answer",
    "stop": "it would end the answers of all rows",
    "stream": "all answers come at once",
    "response_format": "all answers come in one JSON object",
}


def _note_packing(reader: Reader, draft: Draft) -> None:
    """Record arguments that do not go together with ``rows_per_request``, and an audit without it."""
    if draft.values.get(ROWS_PER_REQUEST.name, 1) == 1:
        for spec in (AUDIT, AUDIT_AGREEMENT):
            if draft.sources.get(spec.name) == draft.layer and draft.values.get(spec.name):
                reader.fault(f"{spec.name} has no effect on rows that are sent alone: write rows_per_request = 20")
        return
    for name, why in _NOT_PACKED.items():
        value = draft.parameters.get(name)
        if value not in (None, False) and not (name == "n" and value == 1):
            reader.fault(
                f"{name} and rows_per_request are mutually exclusive ({why}): remove {name} or rows_per_request"
            )
    if "image_column" in draft.columns:
        reader.fault("image_column and rows_per_request are mutually exclusive: remove one of them")


# --- missing and unknown arguments -----------------------------------------------------------


def _note_missing(reader: Reader, task: Task, draft: Draft) -> None:
    """Record required inputs and arguments that are missing."""
    for one in task.inputs:
        if one.kind is Kind.RECORD or not one.required or _is_fed(one, draft) or _was_tried(reader, task, one):
            continue
        if one.kind is Kind.TABLE and not draft.columns:  # then the query's own rows are the table
            continue
        spec = column_spec(one)
        ways = [f"{spec.name} = {spec.example}"]
        if one.constant:
            ways.append(f"{one.constant} = {constant_spec(task, one).example}")
        if one.template:
            ways.append(f"{PROMPT_TEMPLATE.name} = {PROMPT_TEMPLATE.example}")
        reader.fault(f"task '{task.name}' needs {spec.name}: write {' or '.join(ways)}")
    for argument in task.arguments:
        spec = argument_spec(task, argument)
        if argument.required and argument.name not in draft.values and not reader.has(spec):
            reader.fault(f"task '{task.name}' needs {spec.name}: write {spec.name} = {spec.example}")


def _is_fed(one: Input, draft: Draft) -> bool:
    by_template = one.template and draft.prompt_template is not None
    by_constant = one.constant is not None and one.constant in draft.values
    return by_template or by_constant or one.argument in draft.columns


def _was_tried(reader: Reader, task: Task, one: Input) -> bool:
    """Return whether the statement names the input, even if wrongly: then that fault is enough."""
    return (
        reader.has(column_spec(one))
        or (one.constant is not None and reader.has(constant_spec(task, one)))
        or (one.template and reader.has(PROMPT_TEMPLATE))
    )


def note_unknown(reader: Reader, task: Task | None, generic: Iterable[ArgumentSpec]) -> None:
    """Record the arguments that nothing has read, each with the one that may be meant.

    Args:
        task: ``None`` if it is unknown: then only what no task accepts is recorded.
    """
    for name in [one for one in reader.left() if one in ENGINE_ONLY]:
        reader.claim(name)
        reader.fault(f"{name} is an argument of the engine: write it in CREATE ML_ENGINE, and remove it here")
    left = reader.left()
    if not left:
        return
    common = all_names(generic)
    if task is None:
        anywhere = common + model_names()
        for name in left:
            if name not in anywhere:
                reader.unknown(name, anywhere)
        return
    own = all_names(own_specs(task))
    parameters = [spec.name for spec in parameter_specs(task)]
    listed = f": task '{task.name}' accepts {_listed(task, parameters)}"
    for name in left:
        elsewhere = [one.name for one in TASKS.values() if name in all_names(own_specs(one))]
        near = nearest(name, [*own, *parameters, *common])
        if elsewhere and (near is None or near not in own):
            reader.fault(f"{name} is not an argument of task '{task.name}' but of {_some(elsewhere)}: remove it")
        else:
            reader.unknown(name, [*own, *parameters, *common], listed)
            listed = listed if near else ""  # once is enough


def _listed(task: Task, parameters: list[str]) -> str:
    names = [*(spec.name for spec in own_specs(task)), *parameters]
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"{shown}; write other fields of its server inside parameters = {{…}}"


def _some(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]}, {names[1]} and others"
