"""CREATE ML_ENGINE … USING → ``EngineSettings``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import SecretStr

from ..net.url_policy import ROUTER, is_router
from .coercion import BadValue, check_token
from .parsing import Reader
from .settings import EngineSettings
from .specs import (
    ALLOWED_HOSTS,
    API_KEY,
    BASE_URL,
    BILL_TO,
    ENGINE,
    EXECUTION,
    MEDIA_ROOTS,
    PRICE,
)
from .task_specs import all_names, model_names
from .validators import check_base_url

log = logging.getLogger(__name__)

BASE_URL_VARIABLE = "HUGGINGFACE_API_BASE_URL"
TOKEN_VARIABLES = ("HUGGINGFACE_API_API_KEY", "HF_TOKEN")

_EXECUTION_NAMES = frozenset(spec.name for spec in EXECUTION)


def hub_login() -> str | None:
    """Return the token of ``hf auth login`` on this machine, if there is one."""
    from huggingface_hub import get_token

    try:
        return get_token()
    except Exception as error:  # it may call an identity service, with errors of its own
        log.warning("the Hub login could not be read: %s", type(error).__name__)
        return None


def engine_settings(
    raw: Mapping[str, Any] | None,
    *,
    environ: Mapping[str, str] = os.environ,
    token: str | None = None,
    configured_token: str | None = None,
) -> EngineSettings:
    """Return the settings of an engine.

    Args:
        raw: the arguments of CREATE ML_ENGINE; a masked token (``******``) counts as none.
        environ: the server's environment variables.
        token: the token of USING, if it is stored apart from ``raw``. Every other token is the
            server's, and is not sent to a ``base_url`` of USING.
        configured_token: the token of MindsDB's configuration file.

    Raises:
        SettingsError: with every fault.
    """
    reader = Reader(raw)
    given = {spec.name: reader.value(spec) for spec in ENGINE if spec.name in _EXECUTION_NAMES}
    faults = len(reader.faults)
    key = take_token(reader)
    if len(reader.faults) > faults:
        token = None  # the same one, which is refused once
    base_url = reader.value(BASE_URL, check_base_url)
    is_own = base_url is not None
    if not is_own:
        base_url = _base_url_of(environ, reader)
    hosts, folders = reader.value(ALLOWED_HOSTS), reader.value(MEDIA_ROOTS)
    bill_to, price = reader.value(BILL_TO), reader.value(PRICE)
    secret, source = _first_token(key, token, environ, configured_token, reader)
    if is_own and source != "engine" and not is_router(base_url):
        # The server's token is its administrator's: people who may create engines may not send it anywhere they like.
        secret, source = None, "anonymous"
    for name in reader.left():
        if name in model_names():
            reader.fault(f"{name} is an argument of a model: write it in CREATE MODEL, and remove it here")
            continue
        reader.unknown(name, all_names(ENGINE), f": an engine accepts {', '.join(spec.name for spec in ENGINE)}")
    reader.finish()
    return EngineSettings(
        token=secret,
        token_source=source,
        base_url=base_url,
        allowed_hosts=hosts or (),
        media_roots=folders or (),
        bill_to=bill_to,
        price=price,
        execution={name: value for name, value in given.items() if value is not None},
    )


def take_token(reader: Reader) -> SecretStr | None:
    """Return the token of a statement; a masked one, as RETRAIN passes on, counts as none."""
    for name in API_KEY.names:
        value = reader.given.get(name)
        if isinstance(value, str) and not value.strip():
            reader.fault(f"{name} is empty: write {name} = 'hf_…', or leave it out")
        if isinstance(value, str) and not value.strip(" *\t\r\n"):
            reader.given[name] = None
    value = reader.value(API_KEY)
    return SecretStr(value) if value else None


def _first_token(
    key: SecretStr | None,
    stored: str | None,
    environ: Mapping[str, str],
    configured: str | None,
    reader: Reader,
) -> tuple[SecretStr | None, str]:
    """Return the first token found, and where it was found."""
    if key is not None:
        return key, "engine"
    sources: list[tuple[str, str, Callable[[], str | None]]] = [
        ("engine", "the engine's api_key", lambda: stored),
        *((name, f"the environment variable {name}", partial(environ.get, name)) for name in TOKEN_VARIABLES),
        ("MindsDB's configuration", "the api_key of MindsDB's configuration", lambda: configured),
        ("Hub login", "the Hub's login file", hub_login),
    ]
    for source, described, find in sources:
        token = (find() or "").strip()
        if token:
            try:
                return SecretStr(check_token(token)), source
            except BadValue as fault:
                reader.fault(f"{described} {fault}: copy it again")
                return None, "anonymous"
    return None, "anonymous"


def _base_url_of(environ: Mapping[str, str], reader: Reader) -> str:
    text = (environ.get(BASE_URL_VARIABLE) or "").strip()
    if not text:
        return ROUTER
    try:
        return check_base_url(text)
    except BadValue as fault:
        reader.fault(f"the environment variable {BASE_URL_VARIABLE} {fault}")
        return ROUTER
