"""The inference routes: of hf-inference, the router, one provider, and servers of one model."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..tasks.media import Media
from . import fault_responses
from .chat_faults import STYLES, spoil
from .faults import Behaviour, Rule, Target
from .guess import guess
from .hub import CHAT, IMAGE_PROVIDER, OF_IMAGE_PROVIDER, Model
from .parsing import ParsedRequest, Refusal, named_model, parse, parse_body
from .prices import IMAGE_PRICE, POLICIES, SECOND_PRICE, choose, providers_of, tokens_cost
from .record import Record
from .server_kinds import ENDPOINT_ROUTES, INFO, ServerKind
from .shapes import answer
from .state import BAD_TOKEN, MAX_SESSION_ID, NO_TOKEN, State

HF_INFERENCE = "hf-inference"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes.

    Attributes:
        kind: the kind of server that answers.
        task_of: model → the task that it serves at this route; ``None`` for 404.
        model_id: the model that the URL names; ``None`` if the body names it.
        provider: the Inference Provider behind the route; empty at a server of one's own.
        is_router: whether the router chooses the provider.
    """

    kind: ServerKind
    task_of: Callable[[Model], str | None]
    model_id: str | None = None
    provider: str = HF_INFERENCE
    is_router: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answers a request: the name, and the entry of the router's list (empty if it is not listed)."""

    name: str
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was read, and what decides its answer."""

    parsed: ParsedRequest
    kind: ServerKind
    provider: Provider
    behaviour: Behaviour
    rule: Rule | None


class InferenceRoutes:
    """Handlers of the inference routes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        post = ["POST"]
        return [
            Route("/hf-inference/models/{rest:path}", self.by_model, methods=post),
            Route("/hf-inference/v1/chat/completions", self.chat, methods=post),
            Route(f"/{IMAGE_PROVIDER}/v1/images/generations", self.images, methods=post),
            Route("/models/{rest:path}", self.by_model, methods=post),
            Route("/v1/chat/completions", self.chat, methods=post),
            Route("/endpoints/{kind}/{rest:path}", self.endpoint, methods=["GET", "POST"]),
        ]

    async def by_model(self, request: Request) -> Response:
        """``/models/{id}``, ``…/pipeline/{task}`` and ``…/v1/chat/completions``."""
        rest: str = request.path_params["rest"]
        for marker in ("/pipeline/", "/v1/"):
            model_id, found, route = rest.partition(marker)
            if found:
                break
        if found and marker == "/v1/" and route != "chat/completions":
            return self._not_found(request)
        task = CHAT if marker == "/v1/" else route

        def task_of(model: Model) -> str | None:
            return model.serves(task) if found else model.task

        return await self._infer(request, Destination(ServerKind.HF_INFERENCE, task_of, model_id))

    async def chat(self, request: Request) -> Response:
        """``/v1/chat/completions``: the body names the model, and the router chooses a provider."""
        return await self._infer(
            request, Destination(ServerKind.OPENAI, lambda model: model.serves(CHAT), is_router=True)
        )

    async def images(self, request: Request) -> Response:
        """``/together/v1/images/generations``: the body names the model, by the provider's name of it."""

        def task_of(model: Model) -> str | None:
            return model.task if model.task in OF_IMAGE_PROVIDER else None

        return await self._infer(request, Destination(ServerKind.OPENAI, task_of, provider=IMAGE_PROVIDER))

    async def endpoint(self, request: Request) -> Response:
        """A server of one model."""
        try:
            kind = ServerKind(request.path_params["kind"])
        except ValueError:
            return self._not_found(request)
        rest: str = request.path_params["rest"]
        parts = rest.split("/")
        model_id, route = "/".join(parts[:2]), "/".join(parts[2:])
        if request.method == "GET":
            return self._endpoint_status(request, kind, model_id, route)

        def task_of(model: Model) -> str | None:
            return ENDPOINT_ROUTES[kind](route, model)

        return await self._infer(request, Destination(kind, task_of, model_id, provider=""))

    def _endpoint_status(self, request: Request, kind: ServerKind, model_id: str, route: str) -> Response:
        self._state.record(request, model=model_id)
        if route in ("", "health"):
            return PlainTextResponse("Ok" if route or kind is ServerKind.TOOLKIT else "")
        if route == "info" and kind in INFO:
            return JSONResponse({"model_id": model_id, **INFO[kind]})
        if route == "v1/models" and kind in (ServerKind.OPENAI, ServerKind.TGI):
            return JSONResponse({"object": "list", "data": [{"id": model_id, "object": "model"}]})
        return PlainTextResponse("Not Found", 404)

    def _not_found(self, request: Request) -> Response:
        self._state.record(request, status=404)
        return PlainTextResponse("Not Found", 404)

    # --- one request ---

    async def _infer(self, request: Request, to: Destination) -> Response:
        record = self._state.record(request, model=to.model_id or "")
        record.is_inference, record.provider = True, to.provider
        try:
            response = await self._answer(request, record, to)
        except Refusal as refusal:
            response = refusal.response()
        except ClientDisconnect:
            response = Response(status_code=499)
        record.status = response.status_code if record.fault not in ("reset", "hang") else 0
        if not 0 < record.status < 400:
            record.cost = 0.0
        response.headers.setdefault("x-request-id", uuid.uuid4().hex)
        if to.is_router and record.provider:
            response.headers.setdefault("x-inference-provider", record.provider)
        response.headers.setdefault("x-compute-type", "sandbox")
        seconds = self._state.behaviour.compute_seconds(record.items)
        response.headers.setdefault("x-compute-time", f"{seconds:.4f}")
        return response

    async def _answer(self, request: Request, record: Record, to: Destination) -> Response:
        state, behaviour = self._state, self._state.behaviour
        body = await _read(request, behaviour.faults.max_bytes)
        if state.refuses(request):
            raise Refusal(401, {"error": BAD_TOKEN})
        if len(record.session or "") > MAX_SESSION_ID:
            raise Refusal(400, {"error": f"X-HF-Session-id is longer than {MAX_SESSION_ID} characters"})
        _throttle(behaviour, record)
        document = parse_body(body, request.headers.get("content-type"), to.kind)
        model_id, wanted = (to.model_id, "") if to.model_id is not None else named_model(document)
        if to.provider == IMAGE_PROVIDER:
            model_id = model_id.removeprefix(f"{IMAGE_PROVIDER}/")
        record.model = model_id
        model = self._find(model_id, document, request)
        provider = self._provider(model, to, wanted)
        record.provider = provider.name
        self._check_access(model, provider, "authorization" in request.headers)
        task = to.task_of(model)
        if task is None:
            is_unknown = model.any_task and model.task is None
            raise Refusal(404, {"error": UNKNOWN_TASK.format(model.id)} if is_unknown else "Not Found")
        parsed = parse(task, document, to.kind, behaviour.faults.max_items)
        record.task, record.items, record.inputs = task, parsed.items, parsed.recorded
        record.parameters = parsed.parameters
        _check_schema(parsed, provider)
        # A text that the client escaped is matched by what it means.
        text = "" if parsed.media else _unescaped(body.decode("utf-8", "replace"))
        rule = behaviour.pick(Target(text, parsed.items > 1, model_id, provider.name, task == CHAT))
        if rule is not None:
            record.fault = rule.kind
        async with behaviour.work(parsed.items):
            return await _respond(request, record, Exchange(parsed, to.kind, provider, behaviour, rule))

    def _find(self, model_id: str, document: Mapping[str, Any] | Media, request: Request) -> Model:
        model = self._state.catalogue.find(model_id)
        if model is None:
            raise Refusal(404, "Not Found")
        if not model.any_task:
            return model
        return replace(model, task=guess(model_id, document, request.headers.get("accept", "")))

    def _provider(self, model: Model, to: Destination, wanted: str) -> Provider:
        """Return who answers; at the router by the policy or the name that follows the model's id."""
        if not to.is_router:
            return Provider(to.provider, {})
        entries = providers_of(model.chat_providers(), self._state.behaviour.faults.providers)
        if wanted == HF_INFERENCE and model.deployed:
            return Provider(HF_INFERENCE, {})
        chosen = choose(entries, wanted, self._state.behaviour.faults.preferred)
        if chosen is None:
            by = "any provider you have enabled" if wanted in POLICIES else f"provider '{wanted}'"
            message = f"The requested model '{model.id}' is not supported by {by}."
            raise Refusal(400, {"error": {"message": message, "type": "invalid_request_error", "param": "model"}})
        return Provider(chosen, entries[chosen])

    def _check_access(self, model: Model, provider: Provider, has_token: bool) -> None:
        if model.private and not has_token:
            raise Refusal(401, {"error": NO_TOKEN})
        if model.gated:
            message = f"Access to model {model.id} is restricted and you are not in the authorized list."
            raise Refusal(403, {"error": message})
        if not model.deployed and not provider.entry:
            raise Refusal(404, "Not Found")


UNKNOWN_TASK = (
    "This is the sandbox, which has no model {}: neither its name nor the request tells its task. "
    "Name a model of the sandbox, such as sandbox/image-classification (sandbox/ and the task)."
)


def _throttle(behaviour: Behaviour, record: Record) -> None:
    wait = behaviour.throttle(time.monotonic())
    if wait is not None:
        record.fault = "rate"
        header = behaviour.retry_header(wait)
        raise Refusal(429, {"error": "Rate limit reached"}, {"Retry-After": header} if header else {})


def _check_schema(parsed: ParsedRequest, provider: Provider) -> None:
    """Refuse a JSON schema at a provider that takes none."""
    wanted = parsed.inputs.get("response_format") if parsed.task == CHAT else None
    is_schema = isinstance(wanted, Mapping) and wanted.get("type") == "json_schema"
    if is_schema and provider.entry.get("supports_structured_output") is False:
        message = f"response_format json_schema is not supported by {provider.name} for this model"
        raise Refusal(400, {"error": {"message": message, "type": "invalid_request_error", "param": "response_format"}})


def _unescaped(text: str) -> str:
    if "\\u" not in text:
        return text
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(text), ensure_ascii=False)
    return text


async def _read(request: Request, limit: int) -> bytes:
    """Read the whole body; refuse it with 413 if it is longer than ``limit`` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    if size > limit:
        raise Refusal(413, "Failed to buffer the request body: length limit exceeded")
    return b"".join(chunks)


async def _respond(request: Request, record: Record, exchange: Exchange) -> Response:
    rule = exchange.rule
    if rule is not None and rule.kind in fault_responses.INSTEAD:
        return await fault_responses.INSTEAD[rule.kind](request, rule)
    response = _encoded(_answered(record, exchange))
    if rule is None or rule.kind not in fault_responses.AFTER:
        return response
    return fault_responses.AFTER[rule.kind](request, rule, response)


def _answered(record: Record, exchange: Exchange) -> Any:
    """Return the answer of the fake model with the fault of the rule, and record what it costs."""
    parsed, provider, behaviour = exchange.parsed, exchange.provider, exchange.behaviour
    fault = exchange.rule.kind if exchange.rule is not None else ""
    found = answer(
        parsed,
        exchange.kind,
        fused=behaviour.faults.fused_lists,
        wrong_count=fault == "wrong_count",
        shuffle=fault == "shuffle",
    )
    if exchange.rule is not None and fault in STYLES:
        found = spoil(fault, exchange.rule.style, parsed.inputs, found)
    if parsed.task == CHAT:
        return _with_cost(found, record, provider, behaviour.faults.cost_field)
    if provider.name == HF_INFERENCE:
        record.compute_seconds = behaviour.compute_seconds(parsed.items)
        record.cost = round(record.compute_seconds * SECOND_PRICE, 12)
    elif provider.name:
        record.cost = IMAGE_PRICE
    return found


def _with_cost(found: Mapping[str, Any], record: Record, provider: Provider, cost_field: str | None) -> Any:
    """Record the tokens and the cost of a chat; return its answer, with the cost if costs are reported."""
    usage = found["usage"]
    record.input_tokens, record.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    if provider.name:
        record.cost = tokens_cost(provider.entry, record.input_tokens, record.output_tokens)
    if cost_field is None or record.cost is None or not provider.name:
        return found
    return {**found, "usage": {**usage, cost_field: record.cost}}


def _encoded(found: Any) -> Response:
    if isinstance(found, Media):
        return Response(found.data, media_type=found.type)
    content = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(content.encode(), media_type="application/json")
