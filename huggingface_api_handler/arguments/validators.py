"""Names and addresses that end up in a URL, a header or a file path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import SettingsError
from ..net.redaction import holds_token, names_secret
from ..net.url_policy import DEAD_HOST, UrlPolicy, parse_url
from .coercion import BadValue, shown
from .names import nearest
from .specs import ROUTER

_HUB_HOST = re.compile(r"huggingface\.co|(?:[a-z0-9-]+\.)+huggingface\.(?:co|cloud)")
_SEGMENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_MODEL_ID = re.compile(rf"(?:{_SEGMENT}/)?{_SEGMENT}")
_HUB_PAGE = re.compile(rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/({_SEGMENT}/{_SEGMENT})/?(?:[?#].*)?")
_ROUTED = re.compile(rf"({_SEGMENT}/{_SEGMENT}):([A-Za-z0-9-]+)")
_PROVIDER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ORGANISATION = re.compile(r"(?=.{1,96}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VISIBLE = re.compile(r"[!-~]{1,200}")
#: Providers that need no look-up in huggingface_hub's list.
_OWN_PROVIDERS = frozenset({"hf-inference", "auto"})


def check_model_id(name: str) -> str:
    """Return a model's id on the Hub: ``org/name``, or ``name`` as old ones have it.

    Raises:
        BadValue: for anything else; ids become part of a URL's path.
    """
    name = name.strip()
    page = _HUB_PAGE.fullmatch(name)
    if page:
        raise BadValue(f"must be an id, not a URL: write model_name = '{page[1]}'")
    routed = _ROUTED.fullmatch(name)
    if routed:
        raise BadValue(f"must be an id alone: write model_name = '{routed[1]}', provider = '{routed[2].lower()}'")
    if not _MODEL_ID.fullmatch(name) or len(name) > 193 or any(len(part) > 96 for part in name.split("/")):
        raise BadValue(f"must be the id of a model on the Hub, not {shown(name)}: write model_name = 'org/name'")
    if "--" in name or ".." in name or name.endswith(".git"):
        raise BadValue(f"cannot be {shown(name)}: ids on the Hub have no '--', no '..' and do not end in '.git'")
    return name


def check_served_name(name: str) -> str:
    """Return what an endpoint calls its model: any short text on one line."""
    name = name.strip()
    if not _VISIBLE.fullmatch(name):
        raise BadValue(f"must be at most 200 visible ASCII characters without spaces, not {shown(name)}")
    return name


def check_provider(name: str) -> str:
    """Return the name of an Inference Provider that huggingface_hub knows.

    Raises:
        BadValue: for others, with the nearest one.
    """
    name = name.strip().lower()
    if name in _OWN_PROVIDERS:
        return name
    known = _known_providers()
    if not _PROVIDER.fullmatch(name) or (known and name not in known):
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(known)}"
        raise BadValue(f"{shown(name)} is unknown: {hint}", advised=True)
    return name


def _known_providers() -> tuple[str, ...]:
    # The list stands in a module of huggingface_hub's own; where it moves, the service judges instead.
    try:
        from huggingface_hub.inference._providers import PROVIDERS
    except ImportError:
        return ()
    return ("auto", *sorted(PROVIDERS))


def check_url(text: str, *, name: str) -> str:
    """Return an http(s) URL without user, password and fragment, as it was written.

    Raises:
        BadValue: what it breaks; the URL itself is not repeated, it may hold a password.
    """
    if "#" in text:
        raise BadValue("must not have a fragment (#…)")
    try:
        place = parse_url(text)
    except ValueError as error:
        raise BadValue(f"is no URL that can be used: {error}") from None
    if place.host == DEAD_HOST:
        rest = f"write base_url = '{ROUTER}' or leave it out" if name == "base_url" else "leave it out"
        raise BadValue(f"names {DEAD_HOST}, which Hugging Face has switched off: {rest}")
    if place.scheme == "http" and _HUB_HOST.fullmatch(place.host):
        raise BadValue(
            f"must begin with https:// where it leads to Hugging Face: write {name} = 'https://{place.host}…'"
        )
    return text


def check_base_url(text: str) -> str:
    """Return a base URL without a slash at its end; ``/models/{id}`` is put behind it.

    Raises:
        BadValue: as ``check_url``, and where it holds a query or ends in ``/models``.
    """
    text = check_url(text, name="base_url").rstrip("/")
    if "?" in text:
        raise BadValue("must not have a query (?…), since paths are put behind it", advised=True)
    if text.endswith("/models"):
        shorter = text.removesuffix("/models")
        raise BadValue(f"must end before /models, which is put behind it: write base_url = '{shorter}'")
    return text


def check_service(text: str, *, name: str, policy: UrlPolicy) -> None:
    """Refuse a URL whose host this engine may not ask.

    Raises:
        BadValue: with what the engine's owner can do about it.
    """
    try:
        policy.parse(text, purpose="service")
    except SettingsError as error:
        advice = f" ({error.advice[:1].lower()}{error.advice[1:]})" if error.advice else ""
        raise BadValue(f"is refused: {error.message}{advice}", advised=True) from None


def check_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return entries of ``allowed_hosts``. Raises ``BadValue`` for what is no host."""
    entries = tuple(dict.fromkeys(host.strip().lower() for host in hosts))
    for entry in entries:
        try:
            UrlPolicy(allowed_hosts=(entry,))
        except SettingsError:
            raise BadValue(
                f"must hold hosts as 'host' or 'host:port', without https://, path or *; {shown(entry)} is none"
            ) from None
    return entries


def check_folders(folders: Iterable[str]) -> tuple[str, ...]:
    """Return absolute folders, tidied. Raises ``BadValue`` for relative ones."""
    tidy = []
    for folder in folders:
        if not os.path.isabs(folder):
            raise BadValue(f"must hold whole paths; {shown(folder)} does not begin at the root")
        tidy.append(os.path.normpath(folder))
    return tuple(dict.fromkeys(tidy))


def check_output_dir(folder: str, roots: tuple[str, ...]) -> str:
    """Return a folder that stands inside one of ``roots``, links followed.

    Raises:
        BadValue: where it does not, or there are no roots.
    """
    if not roots:
        raise BadValue("needs an engine that allows folders: CREATE ML_ENGINE … USING media_roots = '/srv/media'")
    if not os.path.isabs(folder):
        raise BadValue(f"must be a whole path, not {shown(folder)}")
    real = os.path.realpath(folder)
    for root in roots:
        base = os.path.realpath(root)
        if os.path.commonpath([real, base]) == base:
            return os.path.normpath(folder)
    example = os.path.join(roots[0], "out")
    raise BadValue(f"must be inside one of the engine's media_roots: write output_dir = '{example}'")


def check_bill_to(text: str) -> str:
    """Return the name of an organisation on the Hub, which goes into a header. Raises ``BadValue``."""
    text = text.strip()
    if re.match(r"(?:hf|api_org)_", text):
        raise BadValue("must be the name of an organisation, not a token: write the token in api_key", advised=True)
    if not _ORGANISATION.fullmatch(text) or "--" in text or ".." in text:
        raise BadValue(f"must be the name of an organisation on the Hub, not {shown(text)}")
    return text


#: Fields that decide what is asked, where and for whose account, without signs and capitals, and what to write instead.
#: ``user`` is none of them: it tells the service whose content it is, and changes neither model nor account.
_REACHING: Mapping[str, tuple[str, ...]] = {
    "model_name at CREATE MODEL": (
        "model", "modelid", "modelname", "models", "fallbacks", "deployment", "deploymentid",
    ),
    "provider at CREATE MODEL": ("provider", "providers", "customllmprovider", "route"),
    "endpoint or base_url at CREATE MODEL": (
        "endpoint", "endpointurl", "baseurl", "apibase", "apiurl", "serverurl", "proxy", "proxies",
    ),
    "bill_to at CREATE ML_ENGINE": (
        "billto", "xhfbillto", "organization", "organizationid", "organisation", "organisationid", "org", "orgid",
        "account", "accountid", "tenant", "tenantid",
    ),
}  # fmt: skip
_INSTEAD = {name: instead for instead, names in _REACHING.items() for name in names}
#: Objects whose fields a gateway may lay beside the others.
_WRAPPERS = frozenset({"parameters", "options", "extrabody", "extraquery", "extraheaders", "headers", "litellmparams"})
#: In a JSON schema, the names below these are the user's own.
_SCHEMA = frozenset({"properties", "patternproperties", "definitions", "defs"})


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` or ``options``, which may hold neither secrets nor fields that reach beyond the request.

    Raises:
        BadValue: with the name of the field, never its value.
    """
    _check_reach(fields)
    _check_secrets(fields)
    return fields


def _check_reach(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        folded = _folded(name)
        if folded in _INSTEAD:
            raise BadValue(f"must not hold {shown(name)}: write {_INSTEAD[folded]}")
        if folded in _WRAPPERS and isinstance(value, Mapping):
            _check_reach(value)


def _check_secrets(value: Any, *, are_names: bool = True) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if are_names and names_secret(name):
                raise BadValue(
                    f"must not hold {shown(name)}: write a token in api_key of CREATE ML_ENGINE or CREATE MODEL"
                )
            if holds_token(name):
                raise BadValue(_TOKEN_INSIDE)
            _check_secrets(inner, are_names=_folded(name) not in _SCHEMA)
    elif isinstance(value, list):
        for inner in value:
            _check_secrets(inner)
    elif holds_token(value):
        raise BadValue(_TOKEN_INSIDE)


_TOKEN_INSIDE = "holds what looks like a token: write it in api_key of CREATE ML_ENGINE or CREATE MODEL"


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_labels(labels: list[str]) -> list[str]:
    """Return candidate labels. Raises ``BadValue`` for doubles, too many or too long ones."""
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise BadValue(f"names {shown(twice)} twice: write it once")
    if len(labels) > 1000:
        raise BadValue(f"must name at most 1000 labels, not {len(labels)}")
    if any(len(label) > 1000 for label in labels):
        raise BadValue("must have labels of at most 1000 characters")
    return labels


#: Rules that an argument of this name has beyond its type, whichever task it belongs to.
RULES: Mapping[str, Any] = {"candidate_labels": check_labels}
