"""What ``stop``, ``cache`` and ``watch`` have in common: the cache of MindsDB's settings, and whose data is meant."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..cache import Cache, Owner


class StoreError(Exception):
    """The cache cannot be used, or contains nothing of what is selected; the text says why, and what to do."""


def open_cache() -> Cache:
    """Return the cache that MindsDB's settings name.

    Raises:
        StoreError: it is off, does not exist, was written by another version, or cannot be reached.
    """
    # MindsDB reads the command line of the process that imports it.
    sys.argv = sys.argv[:1]
    if importlib.util.find_spec("mindsdb") is None:
        raise StoreError(f"MindsDB is not installed for {sys.executable}: use the Python that runs MindsDB")
    from ..cache.sqlite import format_of, is_known_format
    from ..host.settings import cache_settings
    from ..query.runtime import RUNTIME
    from ..query.store import FILE, open_store

    logging.disable(logging.WARNING)  # the messages below say what went wrong
    settings = cache_settings()
    if settings.type == "none":
        raise StoreError('MindsDB\'s cache is off ("cache": {"type": "none"}): no answer and no run is stored')
    location = "Redis"
    if settings.type != "redis":
        path = settings.folder / FILE
        location = str(path)
        if not path.exists():
            raise StoreError(
                f"there is no {path}: nothing has been stored yet, or the server has other settings; set "
                "MINDSDB_CONFIG_PATH and MINDSDB_STORAGE_DIR as for the server"
            )
        found = format_of(path)
        if found is not None and not is_known_format(found):
            raise StoreError(
                f"{path} was written by another version of this package (format {found}): use the version that "
                "MindsDB uses"
            )
    store = open_store(RUNTIME, settings)
    if not store.is_available():
        raise StoreError(f"the cache in {location} cannot be read: check that it is reachable and that you may read it")
    return store


@dataclass(frozen=True)
class Selection:
    """Whose data a command concerns.

    Attributes:
        model, engine: names; ``None``: any. A model may be written as ``project.model``.
        all_tenants: also of tenants other than the caller's.
        owners: all scopes, with their owners.
    """

    model: str | None
    engine: str | None
    all_tenants: bool
    owners: Mapping[str, Owner]

    @property
    def words(self) -> str:
        """The names that are selected, for messages."""
        return " of ".join(
            f"{kind} '{name}'" for kind, name in (("model", self.model), ("engine", self.engine)) if name is not None
        )

    def includes(self, scope: str | None, model: str = "") -> bool:
        """Return whether a scope is meant.

        Args:
            model: its model's name, if its owner is not known.
        """
        owner = self.owners.get(scope) if scope is not None else None
        if owner is None:
            return self.engine is None and self.model in (None, model)
        names = (owner.model, f"{owner.project}.{owner.model}")
        return (
            (self.all_tenants or owner.tenant == own_tenant())
            and self.engine in (None, owner.engine)
            and (self.model is None or self.model.lower() in [name.lower() for name in names])
        )


def own_tenant() -> str:
    """Return the tenant of statements that name none, as of a server without accounts."""
    from ..host.settings import tenant
    from ..query.store import tenant_of

    return tenant_of(*tenant())


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--engine`` and ``--all-tenants``."""
    parser.add_argument("--model", metavar="NAME", help="only this model, as NAME or PROJECT.NAME")
    parser.add_argument("--engine", metavar="NAME", help="only the models of this engine")
    parser.add_argument(
        "--all-tenants", action="store_true", help="also of other tenants, where a gateway names companies and users"
    )


def selection(arguments: argparse.Namespace, store: Cache) -> Selection:
    """Return what the arguments of ``add_selection`` select.

    Raises:
        StoreError: no query has used a model of that name, or of that engine.
    """
    chosen = Selection(arguments.model, arguments.engine, arguments.all_tenants, store.owners())
    is_known = any(map(chosen.includes, chosen.owners)) or any(
        chosen.includes(run.scope, run.model) for run in store.runs()
    )
    if chosen.words and not is_known:
        raise StoreError(f"no query has used the {chosen.words}{_hint(chosen)}")
    return chosen


def _hint(chosen: Selection) -> str:
    """Return what to write instead of names that select nothing."""
    from ..arguments.names import nearest

    everyone = replace(chosen, all_tenants=True)
    if not chosen.all_tenants and any(map(everyone.includes, everyone.owners)):
        return " for this tenant: add --all-tenants to include the others"
    anything = replace(chosen, model=None, engine=None)
    known = [owner for scope, owner in chosen.owners.items() if anything.includes(scope)]
    for option, wanted, names in (
        ("model", chosen.model, [model_name(owner, "") for owner in known if chosen.engine in (None, owner.engine)]),
        ("engine", chosen.engine, [owner.engine for owner in known]),
    ):
        near = None if wanted is None else nearest(wanted, names)
        if near is not None and near != wanted:
            return f": did you mean --{option} {near}?"
    return ": `cache` and `watch --once` list the models that queries have used"


def check_one(ways: Mapping[str, object]) -> str | None:
    """Return what is wrong unless exactly one of ``ways`` has a value.

    Args:
        ways: the arguments that select, as the help shows them.
    """
    given = [way for way, value in ways.items() if value]
    if len(given) > 1:
        return f"{given[0]} and {given[1]} are mutually exclusive: write only one of them"
    return None if given else f"write one of: {', '.join(ways)}"


def model_name(owner: Owner | None, otherwise: str) -> str:
    """Return a model's name for a table: with its project, unless that is MindsDB's default."""
    if owner is None:
        return otherwise
    return owner.model if owner.project in ("", "mindsdb") else f"{owner.project}.{owner.model}"
