"""fal-ai: queues by a subdomain; its segmentation models return one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...tasks.media import encode_base64
from ...tasks.media_answers import media_link
from ...tasks.shapes import inside
from .provider import Fetch, Job, Provider, path_of


class FalAI(Provider):
    """A queued request returns ``request_id``, ``status`` and ``response_url``; the state is at ``…/status``."""

    converted = frozenset({"image-segmentation"})

    def queues(self, url: str) -> bool:
        """Return whether ``url`` is that of the queue."""
        return "_subdomain=queue" in url

    def job(self, body: Mapping[str, Any], base: str, url: str) -> Job | None:
        """Return the job of ``response_url``."""
        if not isinstance(body.get("response_url"), str):
            return super().job(body, base, url)
        result = f"{base}{path_of(body['response_url'])}"
        return Job(f"{result}/status?_subdomain=queue", f"{result}?_subdomain=queue")

    def convert(self, task: str, body: Any, fetch: Fetch) -> Any:
        """Return the image as the mask of one segment."""
        url = inside(body, "image", "url")
        if not isinstance(url, str):
            return body
        link = media_link(url)
        mask = url if link is None else encode_base64(fetch(link).content)
        return [{"label": "mask", "mask": mask}]
