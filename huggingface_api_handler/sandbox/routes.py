"""The sandbox's routes: those of the services that it imitates, and those that control it."""

from __future__ import annotations

import json
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .faults import BadFaults, Behaviour, Faults
from .hub_routes import HubRoutes
from .inference_routes import InferenceRoutes
from .record import usage_by_model
from .state import State


def routes(state: State) -> list[Route]:
    """Return all routes of a sandbox."""

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                state.behaviour = Behaviour(Faults.of(json.loads(await request.body())))
            except (BadFaults, json.JSONDecodeError) as error:
                return JSONResponse({"error": str(error)}, 400)
        elif request.method == "DELETE":
            state.behaviour = Behaviour(Faults())
        return JSONResponse(state.behaviour.faults.to_dict())

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.log.clear()
        return JSONResponse([record.to_dict() for record in state.log.all()])

    async def usage(request: Request) -> Response:
        return JSONResponse({model: asdict(used) for model, used in usage_by_model(state.log.all()).items()})

    return [
        *InferenceRoutes(state).routes(),
        *HubRoutes(state).routes(),
        Route("/sandbox/faults", faults, methods=["GET", "PUT", "DELETE"]),
        Route("/sandbox/requests", requests, methods=["GET", "DELETE"]),
        Route("/sandbox/usage", usage),
    ]
