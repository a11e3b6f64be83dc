"""The Hub's records of models, of the providers that serve them, and of tokens.

Requests go through huggingface_hub, so that ``HF_ENDPOINT`` and offline mode have their effect. They have the token of
the caller, never one that is stored on the machine. ``None`` means that the Hub cannot be reached; the caller decides
whether to continue without its response.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import quote

from ..errors import EndpointGone, Forbidden, HuggingFaceError, ModelNotFound, SettingsError, Unauthorized, one_line
from ..net.url_policy import parse_url
from ..tasks.shapes import inside, objects
from ..tasks.task import ModelFacts

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds without a response.
TIMEOUT = 10.0

TOKENS_PAGE = "https://huggingface.co/settings/tokens"
_HUB = "huggingface.co"
#: The Hub's message for an invalid token, even if the model is public.
_BAD_TOKEN = "invalid credentials in authorization header"
#: The permission that a fine-grained token needs to call Inference Providers.
_MAY_INFER = "inference.serverless.write"


@dataclass(frozen=True, slots=True)
class Account:
    """The owner of a token.

    Attributes:
        name: user or organisation.
        organisations: of the user; they may be named in ``bill_to``.
        role: ``read``, ``write`` or ``fineGrained``.
        may_infer: whether the token may call Inference Providers; ``None``: unknown.
    """

    name: str
    organisations: tuple[str, ...] = ()
    role: str | None = None
    may_infer: bool | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One provider's offer of a model.

    Attributes:
        provider: the Hub's name of the provider.
        task: for which it serves the model, by the provider's name for it.
        status: ``live``, ``staging`` or ``error``.
        provider_id: the provider's name for the model.
        adapter_path: the file of weights in the model's repository that the provider lays over another model.
    """

    provider: str
    task: str | None
    status: str | None
    provider_id: str | None
    adapter_path: str | None = None


#: Tasks whose models name their labels.
_LABELLED = ("text-classification", "audio-classification", "image-classification", "video-classification")


def model_facts(model_id: str, token: str | None = None, *, timeout: float = TIMEOUT) -> ModelFacts | None:
    """Return the Hub's record of a model; ``None`` if the Hub cannot be reached.

    Args:
        token: the caller's; ``None`` asks anonymously.
        timeout: seconds without a response.

    Raises:
        ModelNotFound: no such model, or a private one that the token may not read.
        Unauthorized: the Hub does not know the token.
        Forbidden: the model is gated or closed to the token.
        EndpointGone: the Hub has disabled the model.
        SettingsError: the name is not a valid model ID.
    """
    info = _asked(lambda api: api.model_info(model_id, timeout=timeout), model_id, token)
    if info is None:
        return None
    if info.disabled is True:
        raise _disabled(model_id)
    if info.gated:
        log.info("the model %s is gated (%s): its owner decides who may use it", model_id, info.gated)
    tag, labels = _text(info.pipeline_tag), _labels(info.config)
    if not labels and tag in _LABELLED:
        labels = _configured_labels(model_id, token, timeout)
    return ModelFacts(
        id=_text(info.id) or model_id,
        pipeline_tag=tag,
        tags=_texts(info.tags),
        id2label=labels,
        mask_token=_text(info.mask_token),
    )


def _configured_labels(model_id: str, token: str | None, timeout: float) -> dict[str, str]:
    """Return the label order in the model's own config.json, of which the Hub's record is an extract."""
    path = f"/{model_id}/resolve/main/config.json"
    try:
        return _labels(_asked(lambda api: _get(api, path, token, timeout), model_id, token))
    except HuggingFaceError:  # the model has no such file, or it may not be read
        return {}


def providers(model_id: str, *, token: str | None = None, timeout: float = TIMEOUT) -> tuple[Served, ...] | None:
    """Return who serves a model, including unknown providers; ``None`` if the Hub cannot be reached.

    Raises:
        HuggingFaceError: as for ``model_facts``.
    """
    body = _asked(lambda api: _mapping_of(api, model_id, timeout), model_id, token)
    if body is None:
        return None
    mapping = body.get("inferenceProviderMapping")
    if isinstance(mapping, Mapping):
        entries = [(name, entry) for name, entry in mapping.items() if isinstance(entry, Mapping)]
    else:
        entries = [(entry.get("provider"), entry) for entry in objects(mapping)]
    return tuple(
        Served(
            name,
            _text(entry.get("task")),
            _text(entry.get("status")),
            _text(entry.get("providerId")),
            _text(entry.get("adapterWeightsPath")),
        )
        for name, entry in entries
        if isinstance(name, str) and name
    )


def whoami(token: str, timeout: float = TIMEOUT) -> Account | None:
    """Return the owner of a token; ``None`` if the Hub does not respond: it limits the rate of this call strictly.

    Raises:
        Unauthorized: the Hub does not know the token.
    """
    try:
        body = _asked(lambda api: _get(api, "/api/whoami-v2", token, timeout), None, token)
    except Unauthorized:
        raise
    except HuggingFaceError as error:  # a gateway refuses the call, not the Hub the token
        log.warning("the Hub refused the request for the owner of the token: %s", error)
        return None
    if body is None or not _text(body.get("name")):
        return None
    access = inside(body, "auth", "accessToken")
    return Account(
        name=str(body["name"]),
        organisations=_texts([one.get("name") for one in objects(body.get("orgs"))]),
        role=_text(inside(access, "role")),
        may_infer=_may_infer(access),
    )


def bill(token: str, since: datetime, *, organization: str | None = None) -> dict[str, float] | None:
    """Return session → USD that Hugging Face has billed for it, ``None`` where the Hub cannot be reached.

    Args:
        since: the bill's months begin with that of this time.
        organization: to which it is addressed; ``None``: the owner of the token.

    Raises:
        Forbidden: the token may not read the bill.
    """
    start = since.astimezone(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = datetime.now(timezone.utc) + timedelta(days=1)
    owner = "settings" if organization is None else f"organizations/{quote(organization, safe='')}"
    path = f"/api/{owner}/billing/usage-by-inference-session"
    within = {"startDate": _moment(start), "endDate": _moment(end)}
    try:
        body = _asked(lambda api: _get(api, path, token, TIMEOUT, within), None, token)
    except HuggingFaceError as error:
        raise Forbidden(
            f"the token may not read the bill{f' of {organization}' if organization else ''}",
            advice=f"Give it the permission to read billing at {TOKENS_PAGE}",
            status=error.status,
        ) from error
    return None if body is None else _costs_of(body)


def _moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _costs_of(body: Mapping[str, Any]) -> dict[str, float]:
    """Add up what a bill holds of each session, in any month."""
    costs: dict[str, float] = {}
    for period in objects(body.get("periods")):
        for session in objects(period.get("sessions")):
            name, cents = session.get("id"), session.get("costCents")
            if isinstance(name, str) and isinstance(cents, (int, float)) and not isinstance(cents, bool):
                costs[name] = costs.get(name, 0.0) + cents / 100
    return costs


def is_hub(url: str) -> bool:
    """Return whether ``url`` is at Hugging Face: at its own hosts, or where ``HF_ENDPOINT`` says that the Hub is."""
    try:
        parsed = parse_url(url)
    except ValueError:
        return False
    with contextlib.suppress(ValueError):
        if parsed.origin == parse_url(_configured_hub() or "").origin:
            return True
    return parsed.scheme == "https" and (parsed.host == _HUB or parsed.host.endswith(f".{_HUB}"))


def _configured_hub() -> str | None:
    """Return the address in ``HF_ENDPOINT`` without a slash at its end: mirrors do not all take '//' for '/'."""
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or None


def reachable(timeout: float = TIMEOUT) -> bool:
    """Return whether the Hub responds to a request without a token."""
    try:
        return _asked(lambda api: _get(api, "/api/tasks", None, timeout), None, None) is not None
    except HuggingFaceError:
        return True  # a refusal is a response


# --- requests ----------------------------------------------------------------------------------


def _asked(ask: Callable[[Any], T], model_id: str | None, token: str | None) -> T | None:
    """Run ``ask`` with an API object; errors become those of this package, or ``None`` if the Hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    unreachable: tuple[type[Exception], ...] = (OfflineModeIsEnabled, OSError, *_transport_errors())
    # ``False`` is "no token"; with ``None`` the machine's own would be sent.
    where = _configured_hub()
    # The key of a gateway, given with its base_url, is not a token of the Hub: the Hub would learn it, and refuse it.
    if where is None and token and not token.startswith(("hf_", "api_")):
        token = None
    api = HfApi(endpoint=where, token=token or False)
    try:
        return ask(api)
    except HFValidationError as error:
        raise SettingsError(
            f"'{one_line(str(model_id), 100)}' is not a valid model ID", advice="Write model_name = 'org/name'"
        ) from error
    except HfHubHTTPError as error:
        refusal = _refusal(error, model_id, token is not None)
        if refusal is None:
            log.warning("the Hub cannot respond: HTTP %s", _status(error))
            return None
        raise refusal from error
    except unreachable as error:
        log.warning("the Hub cannot be reached: %s", type(error).__name__)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a proxy's page, or another server
        log.warning("the response at the Hub's address is not the Hub's: %s", type(error).__name__)
    return None


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return what the HTTP library under huggingface_hub raises: httpx under 1.x, httpx2 under 2.x."""
    for kind in type(_utils().get_session()).__mro__:
        library: Any = sys.modules.get(kind.__module__.partition(".")[0])
        if hasattr(library, "HTTPError") and hasattr(library, "StreamError"):
            return library.HTTPError, library.InvalidURL, library.StreamError
    return ()


def _get(api: Any, path: str, token: str | None, timeout: float, params: Mapping[str, Any] | None = None) -> Any:
    """Return the JSON object at ``path``; huggingface_hub's own calls of these paths have no timeout."""
    utils = _utils()
    headers = utils.build_hf_headers(token=token or False)
    response = utils.get_session().get(f"{api.endpoint}{path}", headers=headers, timeout=timeout, params=params)
    utils.hf_raise_for_status(response)
    if response.status_code != 200:  # such as a redirect that leads nowhere
        raise ValueError(f"status {response.status_code}")
    body = response.json()
    if not isinstance(body, dict):
        raise TypeError("not an object")
    return body


def _utils() -> Any:
    """Return the helpers of huggingface_hub's own calls."""
    from huggingface_hub import utils

    return utils


def _mapping_of(api: Any, model_id: str, timeout: float) -> Any:
    """Return the Hub's JSON: its client's type drops entries, or all of them, if a field is new or missing."""
    _utils().validate_repo_id(model_id)
    token = api.token if isinstance(api.token, str) else None
    return _get(api, f"/api/models/{model_id}", token, timeout, {"expand": ["inferenceProviderMapping"]})


# --- refusals --------------------------------------------------------------------------------


def _status(error: Any) -> int:
    response = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or 0)


def _header(error: Any, name: str) -> str:
    response = getattr(error, "response", None)
    return str(response.headers.get(name, "")) if response is not None else ""


def _refusal(error: Any, model_id: str | None, with_token: bool) -> HuggingFaceError | None:
    """Return the error of a refusal; ``None`` if it may be temporary."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError

    status = _status(error)
    facts: dict[str, Any] = {"status": status or None, "request_id": _header(error, "x-request-id") or None}
    reason = _reason(error)
    if status == 401 and (model_id is None or (with_token and _BAD_TOKEN in reason.lower())):
        return Unauthorized(
            "the Hugging Face Hub does not know this token",
            advice=f"Create one at {TOKENS_PAGE} and write api_key = 'hf_…'",
            **facts,
        )
    if isinstance(error, DisabledRepoError):
        return _disabled(model_id, **facts)
    if isinstance(error, GatedRepoError):
        return Forbidden(
            f"the model {model_id} is gated: its owner decides who may use it",
            advice=f"Ask for access at https://huggingface.co/{model_id} and write api_key = 'hf_…'",
            **facts,
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        # Without a token the Hub responds 401 for models that do not exist, as for private ones.
        needed = (
            "the token must be allowed to read it"
            if with_token
            else "write the api_key = 'hf_…' of a user who may read it"
        )
        return ModelNotFound(
            f"the Hub has no model {model_id}",
            advice=f"Check the name; if the model is private, {needed}",
            **facts,
        )
    if status == 403:
        return Forbidden(
            f"the Hub refuses to show the model {model_id}" + (f": {reason}" if reason else ""),
            advice=f"Check the token's permissions at {TOKENS_PAGE}",
            **facts,
        )
    if status == 410:
        return ModelNotFound(f"the Hub no longer has the model {model_id}", advice="Choose another model", **facts)
    if 400 <= status < 500 and status not in (408, 425, 429):
        return ModelNotFound(
            f"the Hub refuses the request for the model {model_id}" + (f": {reason}" if reason else ""),
            advice="Check the name",
            **facts,
        )
    return None


def _reason(error: Any) -> str:
    """Return the reason of a refusal."""
    words = _header(error, "x-error-message") or str(getattr(error, "server_message", None) or "")
    return one_line(words, 200)


def _disabled(model_id: str | None, **facts: Any) -> EndpointGone:
    return EndpointGone(f"the Hub has disabled the model {model_id}", advice="Choose another model", **facts)


# --- answers ---------------------------------------------------------------------------------


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(one for one in values if isinstance(one, str)) if isinstance(values, (list, tuple)) else ()


def _labels(config: Any) -> dict[str, str]:
    """Return the label order of the model's config, by number as text; the config may contain anything."""
    labels = inside(config, "id2label")
    if not isinstance(labels, Mapping):
        return {}
    return {
        str(position): name for position, name in labels.items() if isinstance(name, str) and str(position).isdecimal()
    }


def _may_infer(access: Any) -> bool | None:
    if inside(access, "role") in ("read", "write"):
        return True
    fine = inside(access, "fineGrained")
    if not isinstance(fine, Mapping):
        return None
    granted = [fine.get("global"), *(one.get("permissions") for one in objects(fine.get("scoped")))]
    return any(isinstance(names, list) and _MAY_INFER in names for names in granted)
