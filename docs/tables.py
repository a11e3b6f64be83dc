"""Generate the reference tables of the documentation from the code.

    python docs/tables.py           rewrites every table, and the forms that MindsDB reads
    python docs/tables.py --check   lists the files that are out of date, exit code 1

A table is the text between ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from huggingface_api_handler.arguments import ENGINE, MODEL, ArgumentSpec
from huggingface_api_handler.arguments.forms import engine_form, model_form
from huggingface_api_handler.arguments.specs import COMMANDS
from huggingface_api_handler.arguments.task_specs import own_specs
from huggingface_api_handler.errors import BY_CODE
from huggingface_api_handler.hub import provider_registry
from huggingface_api_handler.query import metrics as query_metrics
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Batching, Task

ROOT = Path(__file__).resolve().parent.parent
MATRIX = ROOT / "tests" / "matrix" / "results.json"
SERVERS = ROOT / "tests" / "servers" / "results.json"
BENCH = ROOT / "benchmarks" / "results.json"
PAGES = (
    "docs/arguments.md",
    "docs/endpoints.md",
    "docs/errors.md",
    "docs/language-models.md",
    "docs/measurements.md",
    "docs/operations.md",
    "docs/providers.md",
    "docs/tasks.md",
)
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_ROWS = {
    Batching.LIST: "many per request",
    Batching.GROUP: "many per request, all with the same first input",
    Batching.TABLE: "many per request",
    Batching.ONE: "one per request",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _task_name(task: Task) -> str:
    return f"`{task.name}`" + (f" ({_code(task.aliases)})" if task.aliases else "")


def _inputs(task: Task) -> str:
    return "; ".join(
        f"`{one.argument}`: {one.meaning}" + ("" if one.required else " (optional)") for one in task.inputs
    )


def tasks() -> str:
    """Every task: its inputs and outputs."""
    return table(
        ("task", "columns", "target", "`<target>_explain`"),
        ([_task_name(task), _inputs(task), task.answer, task.explain or "–"] for task in TASKS.values()),
    )


def task_arguments() -> str:
    """Every task: its own arguments, its default model, rows per request."""
    return table(
        ("task", "task arguments", "default model", "rows"),
        (
            [f"`{task.name}`", _code(spec.name for spec in own_specs(task)), f"`{task.default_model}`"
             if task.default_model else "none, set `model_name`",
             _ROWS[task.batching] + (", or up to `rows_per_request`" if task.chat else "")]
            for task in TASKS.values()
        ),
    )  # fmt: skip


def _argument(spec: ArgumentSpec) -> list[str]:
    names = f"`{spec.name}`" + (f" (also {_code(spec.aliases)})" if spec.aliases else "")
    to = " to" if spec.above is None else ", up to"
    bounds = [f"{word} {bound:,}" for word, bound in ((" from", spec.least), (" above", spec.above), (to, spec.most))
              if bound is not None]  # fmt: skip
    allowed = _code(f"'{choice}'" for choice in spec.choices) or "".join([spec.type, *bounds])
    default = "–" if spec.default is None else f"`{str(spec.default).lower()}`" if isinstance(
        spec.default, bool) else str(spec.default)  # fmt: skip
    return [names, allowed, spec.meaning, default]


def engine_arguments() -> str:
    """The arguments of CREATE ML_ENGINE."""
    return table(("argument", "value", "meaning", "default"), map(_argument, ENGINE))


def model_arguments() -> str:
    """The arguments of CREATE MODEL that every task accepts."""
    return table(("argument", "value", "meaning", "default"), map(_argument, MODEL))


def query_commands() -> str:
    """What a SELECT does instead of asking the model."""
    return table(("argument", "value", "meaning"), (_argument(spec)[:3] for spec in COMMANDS))


def providers() -> str:
    """Every Inference Provider that huggingface_hub lists, with its tasks."""
    return table(
        ("provider", "tasks"),
        (
            [f"`{provider}`", _code(tasks) or "none through Hugging Face"]
            for provider, tasks in provider_registry.served().items()
        ),
    )


def tasks_of_providers() -> str:
    """Every task that a provider other than hf-inference serves, with its providers."""
    served = provider_registry.served()
    able = {task: [name for name, tasks in served.items() if task in tasks] for task in TASKS}
    return table(
        ("task", "providers"),
        ([f"`{task}`", _code(names)] for task, names in able.items() if {*names} - {"hf-inference"}),
    )


def error_codes() -> str:
    """Every code of ``<target>_error_type``."""
    return table(
        ("code", "meaning", "what to do", "retryable"),
        (
            [f"`{code}`", _first_line(kind), kind.remedy, "yes" if kind.retryable else "no"]
            for code, kind in BY_CODE.items()
        ),
    )


def metrics() -> str:
    """Every metric, and what it counts of ``.usage``."""
    measures = {metric.name: [name] for name, metric in query_metrics.COUNTERS.items()}
    measures[query_metrics.ROWS.name] = list(query_metrics.SOURCES)
    return table(
        ("metric", "additional labels", "measure in `.usage`", "meaning"),
        (
            [
                f"`{metric.name}{'' if metric.buckets else '_total'}`",
                _code(metric.labels) or "–",
                _code(measures.get(metric.name, ())) or ("`errors CODE`" if metric is query_metrics.ERRORS else "–"),
                metric.meaning.rstrip("."),
            ]
            for metric in query_metrics.ALL
        ),
    )


def matrix() -> str:
    """The results of `make matrix`: one row per pair of releases, one column per Python."""
    found = json.loads(MATRIX.read_text(encoding="utf-8"))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    pythons: set[str] = set()
    notes = []
    for name, cell in found.items():
        python = name.partition("_python-")[2].partition("_")[0]
        pythons.add(python)
        hub = cell.get("packages", {}).get("huggingface_hub", "–")
        if name.endswith("_hub-newest"):
            hub += " (newest)"
        rows.setdefault((cell["mindsdb"], hub), {})[python] = cell["verdict"]
        if cell["verdict"] != "works":
            notes.append(f"- MindsDB {cell['mindsdb']} on Python {python}: {' '.join(cell['reason'].split())}\n")
    across = sorted(pythons, key=lambda python: int(python.partition(".")[2]))
    made = table(
        ("MindsDB", "huggingface_hub", *(f"Python {python}" for python in across)),
        (
            [release, hub, *(cells.get(python, "not tried") for python in across)]
            for (release, hub), cells in rows.items()
        ),
    )
    return made + ("\n" + "".join(notes) if notes else "")


def servers() -> str:
    """The results of `make servers`: one row for the arguments of a task of which a server made the same."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for record in json.loads(SERVERS.read_text(encoding="utf-8")).values():
        package, version = next(iter(record["versions"].items()))
        for case in record["cases"]:
            key = (f"{package} {version}", f"`{case['task']}`", case["result"])
            rows.setdefault(key, []).append(case["arguments"])
    return table(
        ("server", "task", "arguments", "result"),
        ([server, task, "; ".join(dict.fromkeys(cases)), result] for (server, task, result), cases in rows.items()),
    )


def rows_per_request() -> str:
    """What several rows in one request save, by `make bench`."""
    found = json.loads(BENCH.read_text(encoding="utf-8"))["cases"]["rows-per-request"]
    return table(
        ("instruction", "rows per request", "requests", "input tokens", "output tokens", "time"),
        (
            [instruction, rows, *(f"{record[name]:,}" for name in ("requests", "input_tokens", "output_tokens")),
             f"{record['seconds'] / 60:.1f} min"]
            for instruction, measured in found.items()
            for rows, record in measured.items()
        ),
    )  # fmt: skip


def _first_line(kind: type) -> str:
    """Return the first line of a class's docstring, with the backticks of Markdown."""
    return (kind.__doc__ or "").strip().splitlines()[0].rstrip(".").replace("``", "`")


TABLES: Mapping[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        tasks, task_arguments, engine_arguments, model_arguments, query_commands, providers, tasks_of_providers,
        error_codes, metrics, matrix, rows_per_request, servers,
    )
}  # fmt: skip


# --- the forms that MindsDB reads ---


def _literal(value: object, begin: str) -> str:
    """Return an entry that begins with ``begin`` and holds a constant; a long text in several lines, as ruff does."""
    if not isinstance(value, str):
        return f"{begin}{value!r},"
    whole = f"{begin}{json.dumps(value, ensure_ascii=False)},"
    if len(whole) <= 120:
        return whole
    indent = len(begin) - len(begin.lstrip())
    lines = textwrap.wrap(value, 100 - indent, drop_whitespace=False)
    return begin + f"\n{' ' * indent}".join(json.dumps(line, ensure_ascii=False) for line in lines) + ","


def _entries(form: Mapping[str, Mapping[str, object]], begin: str) -> str:
    """Return the entries of a form as Python source; ``begin`` is how a name begins its entry."""
    lines = []
    for name, entry in form.items():
        lines.append(f"    {begin.format(name)}{{")
        lines += [_literal(value, f'        "{key}": ') for key, value in entry.items()]
        lines.append("    },")
    return "\n".join(lines)


def creation_args() -> str:
    """``creation_args.py``: MindsDB reads it as text."""
    return (
        '"""The arguments of CREATE ML_ENGINE, as MindsDB reads them: without importing this file.\n\n'
        'Generated by docs/tables.py from arguments/specs.py.\n"""\n\n'
        "from collections import OrderedDict\n\n"
        f"creation_args = OrderedDict(\n{_entries(engine_form(), '{}=')}\n)\n"
    )


def model_using_args() -> str:
    """``model_using_args.py``: MindsDB masks the arguments that are secret here."""
    return (
        '"""The arguments of CREATE MODEL for every task, as MindsDB reads them.\n\n'
        'Generated by docs/tables.py from arguments/specs.py.\n"""\n\n'
        f"model_using_args = {{\n{_entries(model_form(), chr(34) + '{}' + chr(34) + ': ')}\n}}\n"
    )


FILES: Mapping[str, Callable[[], str]] = {
    "huggingface_api_handler/creation_args.py": creation_args,
    "huggingface_api_handler/model_using_args.py": model_using_args,
}


def renewed(page: str) -> str:
    """Return a page's text with every table regenerated."""
    return _MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)


def main(arguments: list[str]) -> int:
    stale = []
    for name in (*FILES, *PAGES):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = FILES[name]() if name in FILES else renewed(text)
        if new != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"out of date: {', '.join(stale)}: run python docs/tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
