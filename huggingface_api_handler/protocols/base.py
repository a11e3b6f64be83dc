"""What a protocol is: how the tasks of one kind of server are requested, and how its answers are read.

A protocol is a table, ``Protocol``: task → ``Serving``, which holds the route, the encoder of the request, the split of
an answer into rows, and for each argument of the task what becomes of it: ``Sent``, ``Done`` or ``Refused``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

from ..errors import HuggingFaceError, InvalidAnswer, SettingsError
from ..net.error_mapping import failure_within
from ..tasks.media import Media
from ..tasks.shapes import inside, int64, share
from ..tasks.task import EMPTY, Answer, Arguments, Batching, Decoder, Row, Task


def miscounted(found: int, rows: int) -> NoReturn:
    """Raise ``InvalidAnswer``: not one answer for each row."""
    raise InvalidAnswer(f"the service returned {found} answers for {rows} inputs")


# --- requests --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """The content of one request, before it has a URL.

    Attributes:
        inputs: the JSON value of ``inputs``.
        parameters: the JSON object of ``parameters``; left out if empty.
        root: fields beside ``inputs``; without ``inputs`` they are the whole body.
        media: the medium of a binary task: sent as raw bytes if there are no parameters, else as base64 under
            ``inputs``.
        accept: the media type wanted.
        form: the body is a multipart form: the fields of ``root``, and ``media`` as ``file``.
    """

    inputs: Any = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    root: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    media: Media | None = None
    accept: str = "application/json"
    form: bool = False


# --- arguments -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """The argument is a field of the request.

    Attributes:
        name: of the field; ``None``: the argument's own.
        root: it is beside ``inputs``, not in ``parameters``.
        value: argument → value of the field; ``None``: no field.
        spread: the value is an object, and its items are the fields.
    """

    name: str | None = None
    root: bool = False
    value: Callable[[Any], Any] | None = None
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The client does it: the encoder, the split or the task's decoder.

    Attributes:
        how: one line for readers of the table.
    """

    how: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server cannot do it.

    Attributes:
        reason: why, or what to write instead; it ends the sentence "x has no effect at y: …".
        accepts: values that ask for what the server, or the client, does anyway.
    """

    reason: str
    accepts: tuple[Any, ...] = (False,)


Rule: TypeAlias = "Sent | Done | Refused"
Rules: TypeAlias = "Mapping[str, Rule]"


def sent(*names: str, root: bool = False) -> dict[str, Rule]:
    """Return rules for arguments that are sent under their own names."""
    return dict.fromkeys(names, Sent(root=root))


def done(how: str, *names: str) -> dict[str, Rule]:
    """Return rules for arguments that the client does in one way."""
    return dict.fromkeys(names, Done(how))


def refused(reason: str, *names: str) -> dict[str, Rule]:
    """Return rules for arguments that are refused for one reason."""
    return dict.fromkeys(names, Refused(reason))


def no_field(*names: str) -> dict[str, Rule]:
    """Return rules for arguments that the server has no field for."""
    return refused("it has no such field", *names)


@dataclass(frozen=True, slots=True)
class Fields:
    """The arguments of a statement as fields of a request."""

    parameters: dict[str, Any] = field(default_factory=dict)
    root: dict[str, Any] = field(default_factory=dict)


def beside(own: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's own fields, which hold the row's input, and those of the statement.

    Raises:
        SettingsError: one of the statement's would replace an own one, in every row.
    """
    name = next((name for name in fields if name in own), None)
    if name is not None:
        raise SettingsError(
            f"parameters must not contain '{name}': each row's own input is sent in this field",
            advice=f"Leave {name} out, and name the column of the input in CREATE MODEL",
        )
    return {**own, **fields}


Encoder: TypeAlias = "Callable[[Sequence[Row], Arguments, Fields], Call]"
#: (answer, number of rows, arguments) → the part of each row
Split: TypeAlias = "Callable[[Any, int, Arguments], Sequence[Any]]"


# --- protocols -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serving:
    """How one kind of server serves one task.

    Attributes:
        encode: (rows, arguments, their fields) → the content of a request.
        split: answer → one part a row, for the task's decoder.
        arguments: what becomes of each argument of the task.
        route: below the server's URL, ``{v1}`` for the prefix of OpenAI's routes; ``None``: the URL itself.
        batching: how rows share requests; ``None``: as the task allows.
        root_fields: fields that no rule knows are beside ``inputs``, not in ``parameters``.
        decode: replaces the task's decoder.
    """

    encode: Encoder
    split: Split
    arguments: Rules = field(default_factory=lambda: EMPTY)
    route: str | None = None
    batching: Batching | None = None
    root_fields: bool = False
    decode: Decoder | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server.

    Attributes:
        protocol: how it is asked.
        prefix: of OpenAI's routes: ``/v1``, or nothing.
        model: its name for its model, if it has only one.
        max_batch_size: inputs that it accepts in one request, if it publishes that.
        has_answered: whether it has responded.
    """

    protocol: Protocol
    prefix: str = ""
    model: str | None = None
    max_batch_size: int | None = None
    has_answered: bool = True


#: The answer of a route that exists and fails.
BROKEN: Mapping[str, Any] = MappingProxyType({})
#: Path below a server's URL → the JSON that it answers there; ``None``: it has no such thing; ``BROKEN``: it failed.
Probe: TypeAlias = "Callable[[str], Any]"


def model_name(value: Any) -> str | None:
    """Return what a server calls its model; ``None`` for what cannot be a name."""
    return value if isinstance(value, str) and 0 < len(value) <= 500 and value.isprintable() else None


@dataclass(frozen=True, slots=True)
class Learned:
    """What refusals have shown of a server.

    Attributes:
        mask_token: of its fill-mask model.
        writes_apart: its model knows no ``return_full_text``: it writes its output apart from the prompt.
        text_forms: media types that it takes as base64 in JSON, and not as raw bytes.
        takes_no_lists: it takes the one text of a request bare, and no list, not even of one.
        protocol: the protocol that it speaks, a variant of the one that was tried.
        json_form: how its chats are asked for JSON, see ``chat.with_response_format``.
        knows_no_system: its model has no system messages: what they say is put before the first message.
        counts_reasoning: it calls the limit of a chat ``max_completion_tokens``, since reasoning counts.
    """

    mask_token: str | None = None
    writes_apart: bool = False
    text_forms: frozenset[str] = frozenset()
    takes_no_lists: bool = False
    protocol: Protocol | None = None
    json_form: str = "schema"
    knows_no_system: bool = False
    counts_reasoning: bool = False


#: (task, refusal, the refused request, what was known) → what is known now; ``None``: it tells nothing new.
Learn: TypeAlias = "Callable[[Task, HuggingFaceError, Call, Learned], Learned | None]"


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """One kind of server.

    Attributes:
        name: its short name.
        title: its name in messages.
        tasks: task → how it is served; tasks that are not listed are sent as ``others`` sends them.
        others: the protocol for all other tasks.
        recognize: probes a server; ``None``: it is of another kind.
        variant_of: the protocol of which it is a variant: what a URL shows of that, it may be.
        by_route: route that an endpoint's URL names → the server, if that shows its kind without a probe.
        routes: that an endpoint's URL may name beside those of the tasks.
        learn: what a refusal tells of the server, so that the next request can be put differently.
        nameless: such a server with one model takes requests that name none, and may refuse a wrong name.
    """

    name: str
    title: str
    tasks: Mapping[str, Serving]
    others: Protocol | None = None
    recognize: Callable[[Probe], Server | None] = lambda _: None
    variant_of: Protocol | None = None
    by_route: Callable[[str], Server | None] = lambda _: None
    routes: tuple[str, ...] = ()
    learn: Learn = lambda *_: None
    nameless: bool = False

    def serving(self, task: Task) -> Serving:
        """Return how ``task`` is served."""
        found = self.tasks.get(task.name)
        return self.others.serving(task) if found is None and self.others is not None else self.tasks[task.name]

    def batching(self, task: Task) -> Batching:
        """Return how rows share requests."""
        return self.serving(task).batching or task.batching

    def encode(self, task: Task, rows: Sequence[Row], args: Arguments) -> Call:
        """Return the content of the request for ``rows``.

        Raises:
            SettingsError: an argument that has no effect at such a server.
        """
        serving = self.serving(task)
        call = serving.encode(rows, args, self.fields(serving, args))
        name = next((name for name in args.options if name not in _OLD_OPTIONS), None)
        if name is not None and "options" not in call.root:
            raise SettingsError(
                f"options has no effect at {self.title}: it has no such field",
                advice=f"Write {name} in parameters instead",
            )
        return call

    def fields(self, serving: Serving, args: Arguments) -> Fields:
        """Return the arguments as fields of a request.

        Raises:
            SettingsError: an argument that has no effect here, or two that give one field different values.
        """
        found = Fields()
        rules = serving.arguments
        own = {name: value for name, value in args.values.items() if name in rules}
        set_by: dict[str, str] = {}
        for name, value in (*args.parameters.items(), *own.items()):
            rule = rules.get(name) or Sent(root=serving.root_fields)
            if value is None or isinstance(rule, Done):
                continue
            if isinstance(rule, Refused):
                if not any(value is one or (value == one and not isinstance(value, bool)) for one in rule.accepts):
                    raise SettingsError(
                        f"{name} = {_shown(value)} has no effect at {self.title}: {rule.reason}",
                        advice=f"Leave {name} out",
                    )
                continue
            target = found.root if rule.root else found.parameters
            field_value = rule.value(value) if rule.value else value
            spread = rule.spread and isinstance(field_value, Mapping)
            for field_name, one in (field_value if spread else {rule.name or name: field_value}).items():
                if one is None:
                    continue
                if target.setdefault(field_name, one) != one:
                    raise SettingsError(
                        f"{set_by[field_name]} and {name} are the same field at {self.title}, {field_name}",
                        advice=f"Write only one of them; {set_by[field_name]} = NULL in USING removes the model's own",
                    )
                set_by[field_name] = name
        return found

    def read(self, task: Task, answer: Any, n: int, args: Arguments) -> list[Answer]:
        """Return exactly ``n`` answers, in the order of the rows.

        Args:
            answer: parsed JSON, or ``Media`` if the service sent something else.

        Raises:
            HuggingFaceError: the error that the answer holds; ``InvalidAnswer`` for one that cannot be assigned to
                the rows with certainty.
        """
        for part in answer if isinstance(answer, list) else [answer]:
            refuse_failed(part)
        serving = self.serving(task)
        parts = serving.split(answer, n, args)
        if len(parts) != n:
            miscounted(len(parts), n)
        decode = serving.decode or task.decode
        return _with_tokens([decode(part, args) for part in parts], answer)


#: Options of Hugging Face's former service, which statements of that time still hold: no other service needs them.
_OLD_OPTIONS = frozenset({"use_cache", "use_gpu", "wait_for_model"})


def refuse_failed(part: Any) -> None:
    """Raise the error that an answer, or a part of it, consists of, if it does."""
    error = failure_within(200, {}, part) if isinstance(part, dict) else None
    if error is not None:
        raise error


def _shown(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def _with_tokens(answers: list[Answer], answer: Any) -> list[Answer]:
    """Share the tokens that the service counted for a whole request among its rows."""
    total = int64(inside(answer, "usage", "total_tokens"))
    if total is None or any(one.tokens is not None for one in answers):
        return answers
    return [replace(one, tokens=share(total, len(answers), position)) for position, one in enumerate(answers)]
