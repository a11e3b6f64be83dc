"""together: queues videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .provider import Job, Provider, identity

_VIDEOS = "/v2/videos"


class Together(Provider):
    """A request for a video returns ``id`` and ``status``; both are at ``/v2/videos/{id}``."""

    def queues(self, url: str) -> bool:
        """Return whether ``url`` is that of videos."""
        return _VIDEOS in url

    def job(self, body: Mapping[str, Any], base: str, url: str) -> Job | None:
        """Return the job of ``id``."""
        found = identity(body)
        if found is None or not url.endswith(_VIDEOS):
            return super().job(body, base, url)
        return Job(f"{url}/{quote(found, safe='')}")
