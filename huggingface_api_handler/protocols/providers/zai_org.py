"""zai-org: queues images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .provider import Job, Provider, identity


class ZaiOrg(Provider):
    """A request for an image returns ``id`` and ``task_status``; both are at ``/api/paas/v4/async-result/{id}``."""

    def queues(self, url: str) -> bool:
        """Return whether ``url`` is one of asynchronous work."""
        return "/async/" in url

    def job(self, body: Mapping[str, Any], base: str, url: str) -> Job | None:
        """Return the job of ``id``."""
        found = identity(body)
        if found is None or "task_status" not in body:
            return super().job(body, base, url)
        return Job(f"{base}/api/paas/v4/async-result/{quote(found, safe='')}")
