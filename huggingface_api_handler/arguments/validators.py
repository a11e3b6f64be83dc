"""Rules beyond an argument's type: IDs, addresses, folders, labels, providers.

What passes may be part of a URL, a header or a file path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import SettingsError, one_line
from ..hub import provider_registry
from ..hub.prices import POLICIES, ROUTERS_CHOICE
from ..net.redaction import holds_token, names_secret
from ..net.url_policy import DEAD_HOST, ROUTER, UrlPolicy, parse_url
from .coercion import BadValue, as_sql, check_unique, shown
from .names import nearest
from .price import check_price

_HUB_HOST = re.compile(r"huggingface\.co|(?:[a-z0-9-]+\.)+huggingface\.(?:co|cloud)")
_SEGMENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_MODEL_ID = re.compile(rf"(?:{_SEGMENT}/)?{_SEGMENT}")
_HUB_PAGE = re.compile(rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/({_SEGMENT}/{_SEGMENT})/?(?:[?#].*)?")
_WITH_PROVIDER = re.compile(rf"((?:{_SEGMENT}/)?{_SEGMENT}):([A-Za-z0-9-]+)")
_PROVIDER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ORGANIZATION = re.compile(r"(?=.{1,96}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VISIBLE = re.compile(r"[!-~]{1,200}")
#: Fields of a URL's query that hold a secret, beside those with a telling name: Google's, Azure's, those of signatures.
_SECRETS_OF_URLS = ("key", "code", "sig", "signature")
#: A URL without its beginning.
_BARE_HOST = re.compile(r"(localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]*)?")
_COLUMN_IN_BRACES = re.compile(r"\{\{[^{}]+\}\}")


def check_model_id(name: str) -> str:
    """Return a model's ID on the Hub: ``org/name``, or ``name`` for old models.

    Raises:
        BadValue: for anything else; IDs become part of a URL's path.
    """
    name = name.strip()
    page = _HUB_PAGE.fullmatch(name)
    if page:
        raise BadValue(f"must be an ID, not a URL: write model_name = '{page[1]}'")
    if not _MODEL_ID.fullmatch(name) or len(name) > 193 or any(len(part) > 96 for part in name.split("/")):
        raise BadValue(f"must be the ID of a model on the Hub, not {shown(name)}: write model_name = 'org/name'")
    if "--" in name or ".." in name or name.endswith(".git"):
        raise BadValue(f"cannot be {shown(name)}: IDs on the Hub contain no '--' or '..' and do not end in '.git'")
    return name


def split_provider(name: str) -> tuple[str, str | None]:
    """Split ``org/name:provider``, as Hugging Face's router takes it, into the model's ID and the provider.

    Raises:
        BadValue: as ``check_model_id`` and ``check_providers``.
    """
    found = _WITH_PROVIDER.fullmatch(name.strip())
    if found is None:
        return check_model_id(name), None
    try:
        provider = check_providers([found[2]])
    except BadValue as fault:
        raise BadValue(f"ends in ':{found[2]}', and provider {fault}", advised=fault.advised) from None
    return check_model_id(found[1]), provider


def check_served_name(name: str) -> str:
    """Return an endpoint's name for its model: any short text on one line."""
    name = name.strip()
    if not _VISIBLE.fullmatch(name):
        raise BadValue(f"must be at most 200 visible ASCII characters without spaces, not {shown(name)}")
    return name


def check_providers(names: list[str]) -> str:
    """Return Inference Providers that huggingface_hub knows, in order of preference, joined with commas.

    Raises:
        BadValue: for unknown ones, with the nearest known one.
    """
    folded = check_unique([name.strip().lower() for name in names])
    known = (*ROUTERS_CHOICE, *sorted(provider_registry.helpers()))
    for name in folded:
        is_own = name in provider_registry.OWN or name in POLICIES
        # Without huggingface_hub's list, the service judges.
        if not is_own and (not _PROVIDER.fullmatch(name) or (provider_registry.helpers() and name not in known)):
            near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else f"choose one of {', '.join(known)}"
            raise BadValue(f"{shown(name)} is unknown: {hint}", advised=True)
        if len(folded) > 1 and name in ROUTERS_CHOICE:
            raise BadValue(f"'{name}' chooses among all providers: write provider = '{name}' without other names")
    return ", ".join(folded)


def check_url(text: str, *, name: str) -> str:
    """Return an http(s) URL without user, password and fragment, as it was written.

    Raises:
        BadValue: with the rule that it breaks; the URL is not repeated, since it may contain a password.
    """
    if "#" in text:
        raise BadValue("must not have a fragment (#…)")
    try:
        parsed = parse_url(text)
    except ValueError as error:
        host = _BARE_HOST.fullmatch(text)
        if host:
            scheme = "http" if host[1] == "localhost" or host[1].replace(".", "").isdigit() else "https"
            raise BadValue(f"must begin with https:// or http://: write {name} = '{scheme}://{text}'") from None
        raise BadValue(f"is not a usable URL: {error}") from None
    if parsed.host == DEAD_HOST:
        rest = f"write base_url = '{ROUTER}', or remove it" if name == "base_url" else "remove it"
        raise BadValue(f"names {DEAD_HOST}, which Hugging Face has shut down: {rest}", advised=True)
    for field, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True):
        if names_secret(field) or _folded(field) in _SECRETS_OF_URLS:
            raise BadValue(
                f"must not contain a secret, {shown(field)}, because it is stored and shown unencrypted: remove it, "
                "and write the key in api_key of CREATE ML_ENGINE or CREATE MODEL, which is sent as the header "
                "Authorization: Bearer (a server that reads keys only from its URL needs a gateway that adds them); "
                "other fields of the query, such as api-version, may stay",
                advised=True,
            )
    if parsed.scheme == "http" and _HUB_HOST.fullmatch(parsed.host):
        raise BadValue(f"must begin with https:// for a host of Hugging Face: write {name} = 'https://{parsed.host}…'")
    return text


def check_base_url(text: str) -> str:
    """Return a base URL without a slash at its end; ``/models/{id}`` is appended to it.

    Raises:
        BadValue: as ``check_url``, and if it has a query or ends in ``/models``.
    """
    if "?" in text:
        raise BadValue("must not have a query (?…), because paths are appended to it: remove the query", advised=True)
    text = check_url(text, name="base_url").rstrip("/")
    if text.endswith("/models"):
        shorter = text.removesuffix("/models")
        raise BadValue(f"must end before /models, which is appended to it: write base_url = '{shorter}'")
    return text


def check_service(text: str, policy: UrlPolicy) -> None:
    """Refuse a URL whose host this engine may not reach.

    Raises:
        BadValue: with what the engine's owner can do about it.
    """
    try:
        policy.parse(text, purpose="service")
    except SettingsError as error:
        advice = f" ({error.advice[:1].lower()}{error.advice[1:]})" if error.advice else ""
        raise BadValue(f"is refused: {error.message}{advice}", advised=True) from None


def check_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the entries of ``allowed_hosts``. Raises ``BadValue`` for anything but a host."""
    entries = tuple(dict.fromkeys(host.strip().lower() for host in hosts))
    for entry in entries:
        try:
            UrlPolicy(allowed_hosts=(entry,))
        except SettingsError:
            raise BadValue(
                f"must list hosts as 'host' or 'host:port', without https://, path or *, not {shown(entry)}"
            ) from None
    return entries


def check_folders(folders: Iterable[str]) -> tuple[str, ...]:
    """Return normalised absolute folders. Raises ``BadValue`` for relative ones."""
    tidy = []
    for folder in folders:
        if not os.path.isabs(folder):
            raise BadValue(f"must list absolute paths, not {shown(folder)}")
        tidy.append(os.path.normpath(folder))
    return tuple(dict.fromkeys(tidy))


def check_output_dir(folder: str, roots: tuple[str, ...]) -> str:
    """Return a folder that is inside one of ``roots``, after following links.

    Raises:
        BadValue: it is not, or there are no roots.
    """
    if not roots:
        raise BadValue("needs an engine with media_roots: CREATE ML_ENGINE … USING media_roots = '/srv/media'")
    if not os.path.isabs(folder):
        raise BadValue(f"must be an absolute path, not {shown(folder)}")
    real = os.path.realpath(folder)
    for root in roots:
        base = os.path.realpath(root)
        if os.path.commonpath([real, base]) == base:
            return os.path.normpath(folder)
    example = os.path.join(roots[0], "out")
    raise BadValue(f"must be inside one of the engine's media_roots: write output_dir = '{example}'")


def check_bill_to(text: str) -> str:
    """Return the name of an organization on the Hub, which goes into a header. Raises ``BadValue``."""
    text = text.strip()
    if re.match(r"(?:hf|api_org)_", text):
        raise BadValue("must be the name of an organization, not a token: write the token in api_key", advised=True)
    if not _ORGANIZATION.fullmatch(text) or "--" in text or ".." in text:
        raise BadValue(f"must be the name of an organization on the Hub, not {shown(text)}")
    return text


#: Fields that decide what is asked, where and for whose account, without signs and capitals, and what to write instead.
#: ``user`` and ``project`` are none of them: they say whose content it is, and change neither model nor account; nor is
#: a model that prepares the audio, such as ``vad_model``.
_REACHING: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (instead, re.compile(pattern))
    for instead, pattern in (
        (
            "model_name at CREATE MODEL",
            r"(?!waitformodel|(vad|diari[sz]ation|segmentation|punctuation|alignment)model(name)?$)"
            r"[a-z]*models?(ids?|names?|list|slug|uri|path)?|[a-z]*deployment(ids?|names?)?"
            r"|(?!no|language|temperature|font)[a-z]*fallbacks?(dict|list|models?|providers?)?",
        ),
        ("provider at CREATE MODEL", r"[a-z]*providers?|route"),
        (
            "endpoint or base_url at CREATE MODEL",
            r"[a-z]*(endpoint|apibase|(base|api|server|proxy|webhook|callback|endpoint)url)"
            r"|prox(y|ies)|webhooks?|callbacks?",
        ),
        (
            "bill_to at CREATE ML_ENGINE",
            r"(?!project$)((x?hf)?billto|[a-z]*(organi[sz]ation|account|tenant|project|workspace)(ids?|name)?|org(id)?)",
        ),
    )
)
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
        instead = next((instead for instead, pattern in _REACHING if pattern.fullmatch(folded)), None)
        if instead is not None and not isinstance(value, bool):  # true and false name nothing
            raise BadValue(f"must not contain {shown(name)}: write {instead}")
        if folded in _WRAPPERS and isinstance(value, Mapping):
            _check_reach(value)


def _check_secrets(value: Any, *, are_names: bool = True) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if are_names and names_secret(name):
                raise BadValue(
                    f"must not contain {shown(name)}: write a token in api_key of CREATE ML_ENGINE or CREATE MODEL"
                )
            if holds_token(name):
                raise BadValue(_TOKEN_INSIDE)
            _check_secrets(inner, are_names=_folded(name) not in _SCHEMA)
    elif isinstance(value, list):
        for inner in value:
            _check_secrets(inner)
    elif holds_token(value):
        raise BadValue(_TOKEN_INSIDE)


_TOKEN_INSIDE = "contains what looks like a token: write it in api_key of CREATE ML_ENGINE or CREATE MODEL"


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_candidates(labels: list[str]) -> list[str]:
    """Return candidate labels. Raises ``BadValue`` for repeated, too many or too long ones."""
    check_unique(labels)
    if len(labels) > 1000:
        raise BadValue(f"must list at most 1000 labels, not {len(labels)}")
    if any(len(label) > 1000 for label in labels):
        raise BadValue("must have labels of at most 1000 characters")
    return labels


def check_labels(names: Sequence[str], own: Sequence[str], model: str) -> None:
    """Refuse names for a model's labels that do not fit them.

    Args:
        own: the model's labels, in its order.

    Raises:
        BadValue: another number of names, or a label of the model at the position of another.
    """
    listed = one_line(", ".join(own), 200)
    if len(names) != len(own):
        raise BadValue(
            f"must be {len(own)} names, one for each label of {model} in its order ({listed}), not {len(names)}: "
            f"write labels = {one_line(as_sql(list(own)), 200)} with your own names"
        )
    positions = {label.casefold(): position for position, label in enumerate(own)}
    moved = next(
        (name for position, name in enumerate(names) if positions.get(name.casefold(), position) != position), None
    )
    if moved is not None:
        raise BadValue(
            f"gives the name {shown(moved)} to another label of {model}: write the names in the order of its labels, "
            f"{listed}"
        )


def check_constant(text: str, instead: str) -> str:
    """Return a text that is sent as it is written. Raises ``BadValue`` if it names columns in braces.

    Args:
        instead: how to write a text with columns.
    """
    found = _COLUMN_IN_BRACES.search(text)
    if found is not None:
        raise BadValue(f"is sent as written, and {shown(found[0])} is not replaced: {instead}", advised=True)
    return text


def check_hypothesis(text: str) -> str:
    """Return the sentence into which each label is put.

    Raises:
        BadValue: the service would refuse it, or compare the text with the same sentence for every label.
    """
    before, place, after = text.partition("{}")
    if not place or any(brace in before + after for brace in "{}"):
        raise BadValue(
            f"must contain {{}} once, which is replaced by each label, and no other braces, not {shown(text)}: "
            "write hypothesis_template = 'This text is about {}.'"
        )
    return text


def check_response_format(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a ``response_format``. Raises ``BadValue`` for a bare JSON schema, which servers refuse or ignore."""
    if wanted.get("type") in ("array", "object") or "properties" in wanted:
        raise BadValue(
            "is a JSON schema without its frame: write response_format = {'type': 'json_schema', 'json_schema': "
            "{'name': 'answer', 'schema': {…}}}, or output_schema for typed columns"
        )
    return wanted


#: Rules for parameters of tasks, inside ``parameters`` or beside it.
PARAMETER_RULES: Mapping[str, Callable[[Any], Any]] = {
    "hypothesis_template": check_hypothesis,
    "response_format": check_response_format,
}

#: Rules that hold wherever an argument of this name occurs.
RULES: Mapping[str, Callable[[Any], Any]] = {
    "allowed_hosts": check_hosts,
    "bill_to": check_bill_to,
    "candidate_labels": check_candidates,
    "labels": check_unique,
    "media_roots": check_folders,
    "options": check_fields,
    "parameters": check_fields,
    "price": check_price,
    "provider": check_providers,
}
