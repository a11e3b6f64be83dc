"""``cache``: shows and deletes stored answers."""

from __future__ import annotations

import argparse
import re
import time
from typing import Any

from ..cache import Cache, Owner, Stored
from .store import Selection, StoreError, add_selection, check_one, model_name, open_cache, selection
from .tables import age, complain, json_lines, plain, size

HELP = "show or delete stored answers"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the selection, ``--older-than``, ``--clear`` and ``--json``."""
    parser.description = "Show how many answers are stored, by engine and model, or delete them."
    add_selection(parser)
    parser.add_argument("--older-than", type=_seconds, metavar="AGE", help="only answers older than 12h, 7d or 4w")
    parser.add_argument("--clear", action="store_true", help="delete them; needs --model, --engine or --all")
    parser.add_argument("--all", action="store_true", help="with --clear: of all models and tenants")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+)([smhdw])", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no age: write 12h, 7d or 4w")
    return float(int(found[1]) * _UNITS[found[2]])


def run(arguments: argparse.Namespace) -> int:
    """Show or delete what is selected; return 1 if that is not possible, 2 for arguments that do not go together."""
    by_engine = arguments.engine and not arguments.model
    fault = check_one({"--model NAME": arguments.model, "--engine NAME": by_engine, "--all": arguments.all})
    if arguments.clear and fault is not None:
        complain(f"--clear: {fault}")
        return 2
    if arguments.all and not arguments.clear:
        complain("--all needs --clear: without --clear, --all-tenants shows everything")
        return 2
    before = None if arguments.older_than is None else time.time() - arguments.older_than
    try:
        store = open_cache()
        chosen = selection(arguments, store)
        if arguments.clear:
            scopes = None if arguments.all else [scope for scope in chosen.owners if chosen.includes(scope)]
            _clear(store, scopes, before, as_json=arguments.json)
        else:
            _show(store, chosen, before, as_json=arguments.json)
    except StoreError as error:
        complain(f"not done: {error}")
        return 1
    return 0


def _clear(store: Cache, scopes: list[str] | None, before: float | None, *, as_json: bool) -> None:
    from ..query.store import answers_deleted

    deleted = store.clear(scopes, before)
    if deleted is None:
        raise StoreError("not all answers could be deleted: check that you may write to MindsDB's cache")
    print(json_lines([{"deleted": deleted}]) if as_json else answers_deleted(deleted))


def _show(store: Cache, chosen: Selection, before: float | None, *, as_json: bool) -> None:
    found = store.sizes(before)
    if found is None:
        raise StoreError("the cache cannot be read: check that it is reachable and that you may read it")
    now = time.time()
    rows = [_row(models, chosen, now) for models in _by_model(found, chosen)]
    rows.sort(key=lambda row: -row["bytes"])
    if as_json:
        print(json_lines(rows))
        return
    cells = [
        [row["engine"] or "?", row["model"] or "?", f"{row['answers']:,}", size(row["bytes"]),
         *(age(row[name]) if row[name] is not None else "?" for name in ("oldest_seconds", "newest_seconds"))]
        for row in rows
    ]  # fmt: skip
    print(plain(["engine", "model", "answers", "size", "oldest", "newest"], cells))
    answers, whole = sum(row["answers"] for row in rows), sum(row["bytes"] for row in rows)
    print(f"{answers:,} stored {'answer' if answers == 1 else 'answers'}, {size(whole)}")


def _by_model(found: list[Stored], chosen: Selection) -> list[list[Stored]]:
    """Return what is selected; models that were made again under the same name together."""
    groups: dict[Owner | None, list[Stored]] = {}
    for one in found:
        if chosen.includes(one.scope):
            groups.setdefault(chosen.owners.get(one.scope or ""), []).append(one)
    return list(groups.values())


def _row(parts: list[Stored], chosen: Selection, now: float) -> dict[str, Any]:
    owner = chosen.owners.get(parts[0].scope or "")
    oldest, newest = min(one.oldest for one in parts), max(one.newest for one in parts)
    return {
        "engine": None if owner is None else owner.engine,
        "model": None if owner is None else model_name(owner, ""),
        "answers": sum(one.answers for one in parts),
        "bytes": sum(one.size for one in parts),
        "oldest_seconds": round(now - oldest) if oldest else None,
        "newest_seconds": round(now - newest) if newest else None,
    }
