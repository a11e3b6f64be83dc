"""What the sandbox answers at which URL."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..tasks import TASKS
from ..tasks.task import Dialect, Media, Task
from . import fault_responses, read
from .answers import answer
from .faults import BadFaults, Behaviour, Faults, FaultsLike, Rule
from .hub import OF_PROVIDER, PROVIDER, Catalogue, Model, expanded
from .read import Asked, Refusal
from .record import Log, Record, fingerprint_of_header

BAD_TOKEN = "Invalid credentials in Authorization header"
NO_TOKEN = "Invalid username or password."


class Service:
    """What all routes share. Everything but ``log`` and ``change`` belongs to the event loop."""

    def __init__(self, faults: FaultsLike, bad_tokens: Iterable[str], private: Iterable[str], gated: Iterable[str]):
        self.catalogue = Catalogue(tuple(private), tuple(gated))
        self.log = Log()
        self.bad_tokens = frozenset(bad_tokens)
        self.behaviour = Behaviour(Faults.of(faults))

    # --- who asks ---

    def refused_token(self, request: Request) -> bool:
        """Whether a token came that is no good. No token at all is not refused here."""
        header = request.headers.get("authorization")
        if header is None:
            return False
        scheme, _, token = header.partition(" ")
        return scheme.lower() != "bearer" or not token.startswith("hf_") or token in self.bad_tokens

    # --- the Hub ---

    async def whoami(self, request: Request) -> Response:
        self._record(request)
        if self.refused_token(request):
            return _hub_error(401, BAD_TOKEN)
        if "authorization" not in request.headers:
            return _hub_error(401, NO_TOKEN)
        return JSONResponse(
            {
                "type": "user",
                "id": "sandbox",
                "name": "sandbox",
                "fullname": "Sandbox",
                "isPro": False,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": {"displayName": "sandbox", "role": "read"}},
            }
        )

    async def model(self, request: Request) -> Response:
        model_id = request.path_params["id"]
        self._record(request, model=model_id)
        if self.refused_token(request):
            return _hub_error(401, BAD_TOKEN)
        known = self.catalogue.find(model_id)
        if known is None or known.private:
            # The Hub does not say whether a model that one may not see exists.
            if "authorization" not in request.headers:
                return _hub_error(401, NO_TOKEN)
            if known is None:
                return _hub_error(404, "Repository not found", "RepoNotFound")
        query = request.query_params
        return JSONResponse(expanded(known.facts(), (*query.getlist("expand"), *query.getlist("expand[]"))))

    async def tasks(self, request: Request) -> Response:
        self._record(request)
        return JSONResponse(
            {
                task.name: {
                    "id": task.name,
                    "models": [{"id": known} for known in _defaults(task)],
                    "widgetModels": _defaults(task),
                }
                for task in TASKS.values()
            }
        )

    async def served(self, request: Request) -> Response:
        self._record(request)
        chat = [model for model in self.catalogue.models.values() if model.task and TASKS[model.task].chat]
        data = [{"id": model.id, "object": "model", "created": 0, "owned_by": "sandbox"} for model in chat]
        return JSONResponse({"object": "list", "data": data})

    # --- inference ---

    async def by_model(self, request: Request) -> Response:
        """``/models/{id}``, ``…/pipeline/{task}`` and ``…/v1/chat/completions``."""
        rest: str = request.path_params["rest"]
        for marker in ("/pipeline/", "/v1/"):
            model_id, found, route = rest.partition(marker)
            if found:
                break
        is_chat = marker == "/v1/" and route == "chat/completions"
        if found and marker == "/v1/" and not is_chat:
            return await self._not_found(request)

        def task_of(model: Model) -> str | None:
            if is_chat:
                return _chat_of(model)
            if found:
                return route if route in model.tasks else None
            return model.task

        return await self._infer(request, model_id, task_of, Dialect.INFERENCE)

    async def chat(self, request: Request) -> Response:
        """``/v1/chat/completions``: the model stands in the body."""

        return await self._infer(request, None, _chat_of, Dialect.OPENAI)

    async def pictures(self, request: Request) -> Response:
        """``/together/v1/images/generations``: the model stands in the body, by the provider's name of it."""

        def task_of(model: Model) -> str | None:
            return model.task if model.task in OF_PROVIDER else None

        return await self._infer(request, None, task_of, Dialect.OPENAI)

    async def endpoint(self, request: Request) -> Response:
        """A server of one model, of the kind that ``dialect`` names."""
        try:
            dialect = Dialect(request.path_params["dialect"])
        except ValueError:
            return await self._not_found(request)
        rest: str = request.path_params["rest"]
        parts = rest.split("/")
        model_id, route = "/".join(parts[:2]), "/".join(parts[2:])
        if request.method == "GET":
            return self._endpoint_status(request, dialect, model_id, route)

        def task_of(model: Model) -> str | None:
            return ENDPOINT_ROUTES[dialect](route, model)

        return await self._infer(request, model_id, task_of, dialect)

    def _endpoint_status(self, request: Request, dialect: Dialect, model_id: str, route: str) -> Response:
        self._record(request, model=model_id)
        if route in ("", "health"):
            return PlainTextResponse("Ok" if route or dialect is Dialect.TOOLKIT else "")
        if route == "info" and dialect in _INFO:
            return JSONResponse({"model_id": model_id, **_INFO[dialect]})
        if route == "v1/models" and dialect in (Dialect.OPENAI, Dialect.TGI):
            return JSONResponse({"object": "list", "data": [{"id": model_id, "object": "model"}]})
        return PlainTextResponse("Not Found", 404)

    async def _not_found(self, request: Request) -> Response:
        self._record(request, status=404)
        return PlainTextResponse("Not Found", 404)

    async def _infer(
        self, request: Request, model_id: str | None, task_of: Callable[[Model], str | None], dialect: Dialect
    ) -> Response:
        began = time.monotonic()
        record = self._record(request, model=model_id or "")
        record.is_inference = True
        try:
            response = await self._answer(request, record, model_id, task_of, dialect)
        except Refusal as refusal:
            response = refusal.response()
        except ClientDisconnect:
            response = Response(status_code=499)
        record.status = response.status_code if record.fault not in ("reset", "hang") else 0
        response.headers.setdefault("x-request-id", uuid.uuid4().hex)
        response.headers.setdefault("x-compute-type", "sandbox")
        response.headers.setdefault("x-compute-time", f"{max(time.monotonic() - began, 0.001):.4f}")
        return response

    async def _answer(
        self,
        request: Request,
        record: Record,
        model_id: str | None,
        task_of: Callable[[Model], str | None],
        dialect: Dialect,
    ) -> Response:
        body = await _body(request, self.behaviour.faults.max_bytes)
        if self.refused_token(request):
            raise Refusal(401, {"error": BAD_TOKEN})
        behaviour = self.behaviour
        wait = behaviour.throttle(time.monotonic())
        if wait is not None:
            record.fault = "rate"
            header = behaviour.retry_header(wait)
            raise Refusal(429, {"error": "Rate limit reached"}, {"Retry-After": header} if header else {})
        document = read.document(body, request.headers.get("content-type"), dialect)
        if model_id is None:
            model_id = record.model = read.named_model(document).removeprefix(f"{PROVIDER}/")
        model = self._deployed(model_id, "authorization" in request.headers)
        name = task_of(model)
        if name is None:
            raise Refusal(404, "Not Found")
        asked = read.asked(TASKS[name], document, dialect, behaviour.faults.max_items)
        record.task, record.items, record.inputs = name, asked.items, asked.shown
        record.parameters = asked.parameters
        text = "" if asked.media else body.decode("utf-8", "replace")
        # A text that the client wrote with \u escapes is found as what it means.
        rule = behaviour.pick(_unescaped(text), asked.items > 1, model_id)
        if rule is not None:
            record.fault = rule.kind
        async with behaviour.work(asked.items):
            return await _respond(request, asked, dialect, behaviour.faults, rule)

    def _deployed(self, model_id: str, has_token: bool) -> Model:
        model = self.catalogue.find(model_id)
        if model is None or not model.deployed or model.task is None:
            raise Refusal(404, "Not Found")
        if model.private and not has_token:
            raise Refusal(401, {"error": NO_TOKEN})
        if model.gated:
            raise Refusal(
                403,
                {"error": f"Access to model {model_id} is restricted and you are not in the authorized list."},
            )
        return model

    def _record(self, request: Request, *, model: str = "", status: int = 200) -> Record:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        record = Record(
            request.method,
            request.url.path,
            headers,
            fingerprint_of_header(request.headers.get("authorization")),
            model=model,
            status=status,
        )
        self.log.add(record)
        return record

    # --- steering ---

    async def faults(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.behaviour = Behaviour(Faults.of(json.loads(await request.body())))
            except (BadFaults, json.JSONDecodeError) as error:
                return JSONResponse({"error": str(error)}, 400)
        elif request.method == "DELETE":
            self.behaviour = Behaviour(Faults())
        return JSONResponse(self.behaviour.faults.to_dict())

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.log.clear()
            return JSONResponse([])
        return JSONResponse([record.to_dict() for record in self.log.all()])


def _defaults(task: Task) -> list[str]:
    model = task.default_model
    return [model] if model and "{" not in model else []


def _hub_error(status: int, message: str, code: str | None = None) -> Response:
    headers = {"X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
    return JSONResponse({"error": message}, status, headers)


def _unescaped(text: str) -> str:
    if "\\u" not in text:
        return text
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(text), ensure_ascii=False)
    return text


async def _body(request: Request, limit: int) -> bytes:
    """Read the whole body; refuse it with 413 once it has passed ``limit`` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    if size > limit:
        raise Refusal(413, "Failed to buffer the request body: length limit exceeded")
    return b"".join(chunks)


# --- endpoints of a single model ---

_INFO: Mapping[Dialect, Mapping[str, Any]] = {
    Dialect.TEI: {"model_type": {"embedding": {"pooling": "mean"}}, "max_client_batch_size": 32, "version": "sandbox"},
    Dialect.TGI: {"model_pipeline_tag": "text-generation", "max_client_batch_size": 4, "version": "sandbox"},
}

_TEI_ROUTES = {
    "embed": "feature-extraction",
    "predict": "text-classification",
    "rerank": "text-ranking",
    "similarity": "sentence-similarity",
}


def _chat_of(model: Model) -> str | None:
    return next((name for name in model.tasks if TASKS[name].chat), None)


def _of_toolkit(route: str, model: Model) -> str | None:
    if route.startswith("pipeline/"):
        name = route.removeprefix("pipeline/")
        return name if name in model.tasks else None
    return model.task if route in ("", "predict") else None


def _of_tei(route: str, model: Model) -> str | None:
    if not route:
        return model.task
    name = _TEI_ROUTES.get(route)
    return name if name in model.tasks else None


def _of_tgi(route: str, model: Model) -> str | None:
    if route == "v1/chat/completions":
        return _chat_of(model)
    return model.task if route in ("", "generate") else None


_OPENAI_ROUTES = {
    "v1/embeddings": "feature-extraction",
    "v1/completions": "text-generation",
    "v1/rerank": "text-ranking",
    "v1/classify": "text-classification",
}


def _of_openai(route: str, model: Model) -> str | None:
    if route == "v1/chat/completions":
        return _chat_of(model)
    name = _OPENAI_ROUTES.get(route)
    return name if name in model.tasks else None


#: What is served at which route of an endpoint: (route, model) → task, ``None`` for 404.
ENDPOINT_ROUTES: Mapping[Dialect, Callable[[str, Model], str | None]] = {
    Dialect.INFERENCE: _of_toolkit,
    Dialect.TOOLKIT: _of_toolkit,
    Dialect.TEI: _of_tei,
    Dialect.TGI: _of_tgi,
    Dialect.OPENAI: _of_openai,
}


async def _respond(request: Request, asked: Asked, dialect: Dialect, faults: Faults, rule: Rule | None) -> Response:
    kind = rule.kind if rule is not None else ""
    if rule is not None and kind in fault_responses.INSTEAD:
        return await fault_responses.INSTEAD[kind](request, rule)
    said = answer(
        asked,
        dialect,
        fused=faults.fused_lists,
        wrong_count=kind == "wrong_count",
        shuffle=kind == "shuffle",
    )
    if isinstance(said, Media):
        response = Response(said.data, media_type=said.type)
    else:
        content = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        response = Response(content.encode(), media_type="application/json")
    if rule is None or kind not in fault_responses.AFTER:
        return response
    return fault_responses.AFTER[kind](request, rule, response)


def routes(service: Service) -> list[Route]:
    post = ["POST"]
    return [
        Route("/hf-inference/models/{rest:path}", service.by_model, methods=post),
        Route("/hf-inference/v1/chat/completions", service.chat, methods=post),
        Route(f"/{PROVIDER}/v1/images/generations", service.pictures, methods=post),
        Route("/models/{rest:path}", service.by_model, methods=post),
        Route("/v1/chat/completions", service.chat, methods=post),
        Route("/v1/models", service.served),
        Route("/endpoints/{dialect}/{rest:path}", service.endpoint, methods=["GET", "POST"]),
        Route("/api/whoami-v2", service.whoami),
        Route("/api/tasks", service.tasks),
        Route("/api/models/{id:path}", service.model),
        Route("/sandbox/faults", service.faults, methods=["GET", "PUT", "DELETE"]),
        Route("/sandbox/requests", service.requests, methods=["GET", "DELETE"]),
    ]
