"""What a server is, what a case is, and what may become of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from huggingface_api_handler.arguments.coercion import as_sql
from huggingface_api_handler.arguments.schema import read_schema

HERE = Path(__file__).parent

# --- servers --------------------------------------------------------------------------------------

#: On Linux, PyPI's is a build of several GB for GPUs: PIP_EXTRA_INDEX_URL may name where a smaller one is.
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        name: of its environment, its log and its results.
        packages: what pip installs for it, in this order; the first one named is the server.
        told: packages whose versions the results tell.
        maker: the script that makes its models.
        models: the tiny models that it serves.
        command: its program in ``bin`` and arguments; ``{port}``, ``{here}`` and ``{models}`` are filled in.
        base: (task, USING arguments that every case of it has).
        direct: the script that runs its models without it; empty: its own routes are asked instead, see native.py.
        behind: the server to which it passes requests on; its URL is ``{behind}`` in the command.
        unwanted: packages that pip installs with them, and that do not run beside them.
        source: the environment variable that names the folder of its source, if PyPI does not have it.
    """

    name: str
    packages: tuple[str, ...]
    told: tuple[str, ...]
    maker: str
    models: tuple[str, ...]
    command: tuple[str, ...]
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    direct: str = "direct.py"
    behind: Server | None = None
    unwanted: tuple[str, ...] = ()
    source: str = ""

    @property
    def environment(self) -> str:
        """The name of its virtual environment, which servers may share."""
        return self.name.partition("-")[0]


# --- what must become of a case -------------------------------------------------------------------

#: The values are those of the model, asked without the handler: see direct.py and native.py.
DIRECT = "as the model run directly"
#: The values are those without the argument.
IGNORED = "ignored by the server"
#: The values are not those without the argument, and the same again: what a direct run samples is another thing.
EFFECT = "has an effect, and the same one each time"
#: The server takes no seed.
SAMPLED = "samples: another text each time"
REFUSED = "refused by this package, with a reason"


def error(code: str) -> str:
    """Return that each row has the error with this code."""
    return f"`{code}`"


def _answered(result: pd.DataFrame) -> pd.DataFrame:
    return result[result["y_error_type"].isna()]


def _fits(result: pd.DataFrame, schema: str) -> bool:
    """Return whether each row has valid cells or, where the model ran on to its limit, the one error for that."""
    errors = set(result["y_error_type"].dropna())
    known = read_schema(schema)
    good = _answered(result)
    cells = [known.cells(value) for value in good["y"]]
    shown = [[None if pd.isna(cell) else cell for cell in row] for row in good[list(known.names)].to_numpy().tolist()]
    return len(good) > 0 and errors <= {"invalid_answer"} and cells == shown


SCHEMA = (
    "topic text in (fruit, 'daily news'), urgent boolean, score number, amount integer, tags list in (a, b), "
    "day date, at datetime, grade integer in (1, 2, 3)"
)
FREE = "title text, urgent boolean"

CHECKS: Mapping[str, Callable[[pd.DataFrame], bool]] = {
    "each row has values of the columns' types, or `invalid_answer`": lambda result: _fits(result, SCHEMA),
    "a text that reaches the limit of tokens: `invalid_answer` on that row alone": lambda result: _fits(result, FREE),
    "`invalid_input` on that row alone": lambda result: (
        list(result["y_error_type"].fillna("")) == ["", "", "", "invalid_input"]
    ),
    "JSON": lambda result: all(isinstance(json.loads(value), dict) for value in _answered(result)["y"]),
    "a score for each document, another one for each": lambda result: result["y"].nunique() == len(result),
    "the log probabilities are in `<target>_explain`": lambda result: all(
        '"logprobs"' in value for value in result["y_explain"]
    ),
    "the best label has the model's name, the others are LABEL_0, LABEL_1, …": lambda result: all(
        [name for name in json.loads(more) if not name.startswith("LABEL_")] == [best]
        for best, more in result[["y", "y_explain"]].to_numpy().tolist()
    ),
    "a WAV file for each text": lambda result: (
        all(value.startswith("data:audio/wav;base64,UklGR") for value in result["y"])
        and result["y"].nunique() == len(result)
    ),
}  # fmt: skip
TYPED, LIMITED, TOO_LONG, JSON, SCORES, LOGPROBS, BEST_NAMED, SPOKEN = CHECKS


#: Arguments that say how rows are sent, not what is asked.
_NOT_TOLD = ("max_concurrency",)


@dataclass(frozen=True)
class Case:
    """A task at a server with arguments, and what must become of it.

    Attributes:
        rows: the cells of each row.
        using: arguments beside those of the server's base; one that is ``None`` is left out of them.
        expect: ``DIRECT``, ``IGNORED``, ``REFUSED``, what ``refused`` returns, or the name of a check.
        path: what follows the server's URL in ``endpoint``.
        shown: the arguments in the table, if not as they are written in SQL.
    """

    server: Server
    task: str
    rows: tuple[tuple[str, ...], ...]
    using: Mapping[str, Any]
    expect: str
    path: str = ""
    shown: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """All USING arguments of the task."""
        own = {**self.server.base.get(self.task, {}), **self.using}
        return {name: value for name, value in own.items() if value is not None}

    @property
    def title(self) -> str:
        """The arguments as they are written in SQL, for the table."""
        told = {name: value for name, value in self.using.items() if name not in _NOT_TOLD and value is not None}
        return self.shown or ", ".join(f"`{name} = {as_sql(value)}`" for name, value in told.items()) or "none"


def each(server: Server, task: str, rows: tuple[tuple[str, ...], ...], expect: str, *using: Any) -> tuple[Case, ...]:
    """Return a case for each of several sets of arguments."""
    return tuple(Case(server, task, rows, one, expect) for one in using)
