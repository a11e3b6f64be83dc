"""What an entry of the task registry can say.

A task says what its columns mean, what its request holds and how its answer reads.
It knows nothing of HTTP, of frames, of how many requests there are or when they are made.
"""

from __future__ import annotations

import enum
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

Scalar: TypeAlias = "str | int | float | bool | None"
EMPTY: Mapping[str, Any] = MappingProxyType({})
#: Bytes of an answer: of labels, texts and numbers, and of what holds vectors, masks or media.
SMALL_ANSWER, LARGE_ANSWER = 16 * 2**20, 128 * 2**20


class Kind(enum.Enum):
    """What a cell of an input column holds."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    TABLE = "table"
    RECORD = "record"

    @property
    def is_media(self) -> bool:
        return self in (Kind.IMAGE, Kind.AUDIO, Kind.VIDEO)


class Batching(enum.Enum):
    """How rows share requests."""

    #: many rows in one request
    LIST = "list"
    #: rows whose first input is equal share a request
    GROUP = "group"
    #: the rows are the table
    TABLE = "table"
    #: a request each
    ONE = "one"


class Dialect(enum.Enum):
    """What kind of server answers; it decides where fields stand in a request."""

    #: hf-inference and whatever speaks like it
    INFERENCE = "hf-inference"
    #: the default container of Inference Endpoints
    TOOLKIT = "toolkit"
    #: text-embeddings-inference: fields at the root, lists nested
    TEI = "tei"
    #: text-generation-inference
    TGI = "tgi"
    #: OpenAI-compatible servers
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes with their media type, such as ``image/png``."""

    data: bytes = field(repr=False)
    type: str

    @property
    def base64(self) -> str:
        """The bytes as base64, without line breaks."""
        return b64encode(self.data).decode("ascii")

    @property
    def data_uri(self) -> str:
        """The whole as a ``data:`` URI."""
        return f"data:{self.type};base64,{self.base64}"


#: The values of one row, one for each of the task's ``inputs``: text as ``str``, media as
#: ``Media``, a table as canonical JSON text, a record as a tuple of (column, cell) pairs;
#: ``None`` where an optional input is not given. Always hashable: equal rows are asked once.
Row: TypeAlias = "tuple[Any, ...]"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a task and the USING argument that names its column.

    Attributes:
        argument: the USING argument that holds the column's name.
        kind: what a cell holds.
        meaning: what it is, for the documentation.
        aliases: other names of the argument.
        required: a row without it gets NULL and no request.
        constant: a USING argument that gives the same value for every row instead.
        template: ``prompt_template`` may stand in for the column.
    """

    argument: str
    kind: Kind
    meaning: str
    aliases: tuple[str, ...] = ()
    required: bool = True
    constant: str | None = None
    template: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """A USING argument of a task beside its columns and the parameters of the Hub's own type.

    Attributes:
        type: ``text``, ``number``, ``integer``, ``boolean``, ``list``, ``object``.
        wire: name of the field in the request's ``parameters`` that it becomes, if any.
    """

    name: str
    type: str
    meaning: str
    required: bool = False
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    wire: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of the model: the Hub's word, kept since the model was created.

    Attributes:
        id: ``org/name`` on the Hub, or what the endpoint calls it.
        pipeline_tag: the Hub's task of the model.
        tags: the Hub's tags.
        id2label: label order of the model's config, ``{"0": "NEGATIVE", …}``.
        mask_token: what a fill-mask model calls its blank.
    """

    id: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    id2label: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    mask_token: str | None = None


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a task is called with, validated.

    Attributes:
        values: the task's own arguments (``candidate_labels``, ``lang_input``, …) by name.
        parameters: fields of the request's ``parameters``.
        options: fields of the request's ``options``.
        model: what is known of the model.
        dialect: what kind of server answers.
    """

    values: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    parameters: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    options: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    model: ModelFacts = ModelFacts()
    dialect: Dialect = Dialect.INFERENCE


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a task, before it has a URL.

    Attributes:
        inputs: the JSON value of ``inputs``.
        parameters: the JSON object of ``parameters``; left out where empty.
        root: fields that stand beside ``inputs``; with ``inputs`` absent they are the whole body.
        media: the one medium of a binary task: sent as raw bytes where there are no
            parameters, else as base64 under ``inputs``.
        accept: the media type wanted.
    """

    inputs: Any = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    root: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    media: Media | None = None
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one row gets.

    Attributes:
        value: the target: a scalar; structures as JSON text.
        explain: content of ``<target>_explain``, JSON-ready; ``None`` where the task has none.
        media: generated bytes, which become the target as a data URI or as a written file.
        tokens: tokens counted by the service for this row, if it says so.
    """

    value: Scalar
    explain: Mapping[str, Any] | None = None
    media: Media | None = None
    tokens: int | None = None


def _never(arguments: Arguments) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the Hub, whole.

    Attributes:
        name: the Hub's name of the task.
        answer: what the target holds, for the documentation.
        inputs: the columns that feed it.
        encode: rows (one, or many where ``travel`` is LIST, GROUP or TABLE) → ``Call``.
        read: (answer, number of rows, arguments) → exactly that many ``Answer``, in the order
            of the rows, or ``InvalidAnswer``. The answer is parsed JSON, or ``Media`` where the
            service sent something else.
        travel: how rows share requests.
        alone: servers that take one row a request, whatever ``travel`` says.
        routes: where a kind of server is asked for it, below the server's URL (OpenAI's: below its ``/v1``);
            at the URL itself where none is given.
        explain: what ``<target>_explain`` holds; empty: there is no such column.
        aliases: other names by which the task is asked for.
        arguments: USING arguments of its own.
        parameters: name of the parameter type in ``huggingface_hub`` (its fields may be given
            flat in USING); ``None`` where it has none.
        default_model: used when USING names only the task; ``None`` where one must be named. It may
            hold names of arguments in braces: see ``default_for``.
        method: the method of hugging-py-face that builds the call; ``None`` where it has none.
        pipeline_tags: further Hub tasks whose models can do this task.
        pipeline_route: asked for at ``/pipeline/{task}``, since its models serve several tasks.
        chat: travels to a chat-completions route.
        samples: whether equal inputs may rightly get different answers.
        makes: the kind of media that it makes, which ``output_dir`` may write to files.
        large: whether its answers hold vectors, masks or media; others are read up to a smaller size.
        example: a few rows (by input) and arguments that make sense together.
    """

    name: str
    answer: str
    inputs: tuple[Input, ...]
    encode: Callable[[Sequence[Row], Arguments], Call]
    read: Callable[[Any, int, Arguments], list[Answer]]
    travel: Batching
    example: Example
    explain: str = ""
    aliases: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    parameters: str | None = None
    default_model: str | None = None
    method: str | None = None
    pipeline_tags: tuple[str, ...] = ()
    pipeline_route: bool = False
    chat: bool = False
    samples: Callable[[Arguments], bool] = _never
    alone: frozenset[Dialect] = frozenset()
    routes: Mapping[Dialect, str] = field(default_factory=dict)
    makes: Kind | None = None
    large: bool = False

    @property
    def max_answer_bytes(self) -> int:
        """Bytes of the longest answer that is read."""
        return LARGE_ANSWER if self.large or self.makes is not None else SMALL_ANSWER

    def travels(self, dialect: Dialect) -> Batching:
        """Return how rows share requests at this kind of server."""
        return Batching.ONE if dialect in self.alone else self.travel

    def default_for(self, values: Mapping[str, Any]) -> str | None:
        """Return the model to use when USING names only the task, or ``None`` where one must be named."""
        if self.default_model is None:
            return None
        try:
            return self.default_model.format_map(values)
        except KeyError:  # the arguments that choose the model are not all given
            return None


@dataclass(frozen=True, slots=True)
class Example:
    """Rows and arguments to try a task on.

    Attributes:
        rows: one tuple a row, aligned with the task's required inputs.
        using: USING arguments beside the columns.
    """

    rows: tuple[Row, ...]
    using: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
