"""What ``stop``, ``cache`` and ``watch`` have in common: the cache of MindsDB's settings, and whose data is meant."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ..cache import Cache, Owner


class StoreError(Exception):
    """The cache cannot be used; the text says why, and what to do."""


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

    def includes(self, scope: str | None, model: str = "") -> bool:
        """Return whether a scope is meant.

        Args:
            model: its model's name, where its owner is not known.
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
    """Return what the arguments of ``add_selection`` select."""
    return Selection(arguments.model, arguments.engine, arguments.all_tenants, store.owners())


def model_name(owner: Owner | None, otherwise: str) -> str:
    """Return a model's name for a table: with its project, unless that is MindsDB's default."""
    if owner is None:
        return otherwise
    return owner.model if owner.project in ("", "mindsdb") else f"{owner.project}.{owner.model}"
