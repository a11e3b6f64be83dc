"""What CREATE ML_ENGINE takes, as MindsDB reads it: text, without importing anything."""

from collections import OrderedDict

creation_args = OrderedDict(
    api_key={
        "type": "pwd",
        "description": "Hugging Face token",
        "required": False,
        "label": "api_key",
        "secret": True,
    },
    huggingface_api_api_key={
        "type": "pwd",
        "description": "the same as api_key",
        "required": False,
        "label": "huggingface_api_api_key",
        "secret": True,
    },
    base_url={
        "type": "url",
        "description": "replaces the Hugging Face router, for a gateway or a sandbox",
        "required": False,
        "label": "base_url",
    },
    allowed_hosts={
        "type": "list",
        "description": "further hosts that models and media URLs may reach, as host or host:port",
        "required": False,
        "label": "allowed_hosts",
    },
    media_roots={
        "type": "list",
        "description": "folders from which media files may be read",
        "required": False,
        "label": "media_roots",
    },
    bill_to={
        "type": "str",
        "description": "organisation that is billed",
        "required": False,
        "label": "bill_to",
    },
    max_concurrency={
        "type": "int",
        "description": "requests under way at once, for the engine's models",
        "required": False,
        "label": "max_concurrency",
    },
    requests_per_minute={
        "type": "str",
        "description": "requests started in a minute, by all workers together, for the engine's models",
        "required": False,
        "label": "requests_per_minute",
    },
    timeout={
        "type": "str",
        "description": "seconds one request may take, for the engine's models",
        "required": False,
        "label": "timeout",
    },
    max_retries={
        "type": "int",
        "description": "how often a failed one is sent again; while others pass up to twice that, after 429 six times "
        "that, for the engine's models",
        "required": False,
        "label": "max_retries",
    },
    cache_ttl={
        "type": "int",
        "description": "seconds an answer is kept, for the engine's models",
        "required": False,
        "label": "cache_ttl",
    },
)
