"""The Hub's routes: models, tasks, accounts and bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..tasks import TASKS
from .billing import bill, parse_time
from .hub import CHAT, Model, expanded
from .prices import providers_of
from .record import fingerprint_of_header
from .state import BAD_TOKEN, NO_TOKEN, State


class HubRoutes:
    """Handlers of the Hub's routes, and of the router's list of models."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        bills = "/billing/usage-by-inference-session"
        return [
            Route("/v1/models", self.router_models),
            Route("/v1/models/{id:path}", self.router_model),
            Route("/api/whoami-v2", self.whoami),
            Route("/api/tasks", self.tasks),
            Route("/api/models/{id:path}", self.model),
            Route("/{id:path}/resolve/main/config.json", self.config),
            Route(f"/api/settings{bills}", self.bill),
            Route(f"/api/organizations/{{organisation}}{bills}", self.bill),
        ]

    async def whoami(self, request: Request) -> Response:
        self._state.record(request)
        if self._state.refuses(request):
            return hub_error(401, BAD_TOKEN)
        if "authorization" not in request.headers:
            return hub_error(401, NO_TOKEN)
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
        self._state.record(request, model=model_id)
        if self._state.refuses(request):
            return hub_error(401, BAD_TOKEN)
        known = self._state.catalogue.find(model_id)
        if known is None or known.private:
            # The Hub does not reveal whether a model exists that the token may not see.
            if "authorization" not in request.headers:
                return hub_error(401, NO_TOKEN)
            if known is None:
                return hub_error(404, "Repository not found", "RepoNotFound")
        query = request.query_params
        return JSONResponse(expanded(known.facts(), (*query.getlist("expand"), *query.getlist("expand[]"))))

    async def config(self, request: Request) -> Response:
        model_id = request.path_params["id"]
        self._state.record(request, model=model_id)
        if self._state.refuses(request):
            return hub_error(401, BAD_TOKEN)
        known = self._state.catalogue.find(model_id)
        if known is None or known.private or known.gated:
            return hub_error(401 if "authorization" not in request.headers else 404, "Entry not found", "EntryNotFound")
        return JSONResponse(known.config())

    async def tasks(self, request: Request) -> Response:
        self._state.record(request)
        return JSONResponse(
            {
                name: {
                    "id": name,
                    "models": [{"id": known} for known in _defaults(name)],
                    "widgetModels": _defaults(name),
                }
                for name in TASKS
            }
        )

    async def router_models(self, request: Request) -> Response:
        self._state.record(request)
        listed = [self._router_entry(model) for model in self._state.catalogue.models.values()]
        return JSONResponse({"object": "list", "data": [entry for entry in listed if entry is not None]})

    async def router_model(self, request: Request) -> Response:
        model_id = request.path_params["id"]
        self._state.record(request, model=model_id)
        known = self._state.catalogue.find(model_id)
        entry = None if known is None else self._router_entry(known)
        if entry is None:
            return JSONResponse({"error": f"The model {model_id} is not found"}, 404)
        return JSONResponse(entry)

    def _router_entry(self, model: Model) -> Mapping[str, Any] | None:
        """Return a model as the router lists it; ``None`` for one that is no chat model of any provider."""
        names = model.chat_providers()
        if model.serves(CHAT) is None or not names or model.private:
            return None
        entries = providers_of(names, self._state.behaviour.faults.providers)
        return {
            "id": model.id,
            "object": "model",
            "created": 0,
            "owned_by": model.id.partition("/")[0],
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "providers": [{"provider": name, **entry} for name, entry in entries.items()],
        }

    async def bill(self, request: Request) -> Response:
        organisation = request.path_params.get("organisation")
        self._state.record(request)
        if "authorization" not in request.headers or self._state.refuses(request):
            return hub_error(401, BAD_TOKEN if "authorization" in request.headers else NO_TOKEN)
        behaviour = self._state.behaviour
        if behaviour.faults.bill_status != 200:
            return hub_error(behaviour.faults.bill_status, "The token may not read the bill")
        start, end = (parse_time(request.query_params.get(name, "")) for name in ("startDate", "endDate"))
        if start is None or end is None:
            return hub_error(400, "startDate and endDate must be times such as 2026-11-01T00:00:00.000Z")
        records = self._state.log.all() if behaviour.bill_is_ready() else ()
        token = fingerprint_of_header(request.headers["authorization"])
        return JSONResponse(bill(records, token, organisation, (start, end)))


def _defaults(task: str) -> list[str]:
    model = TASKS[task].default_model
    return [model] if model and "{" not in model else []


def hub_error(status: int, message: str, code: str | None = None) -> Response:
    """Return an error as the Hub words it."""
    headers = {"X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
    return JSONResponse({"error": message}, status, headers)
