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
        "description": "replaces the Hugging Face router's URL, for a gateway or the sandbox",
        "required": False,
        "label": "base_url",
    },
    allowed_hosts={
        "type": "list",
        "description": "additional hosts that models and media URLs may reach, as host or host:port",
        "required": False,
        "label": "allowed_hosts",
    },
    media_roots={
        "type": "list",
        "description": "folders where media files may be read and generated files written",
        "required": False,
        "label": "media_roots",
    },
    bill_to={
        "type": "str",
        "description": "organization to bill",
        "required": False,
        "label": "bill_to",
    },
    max_concurrency={
        "type": "int",
        "description": "maximum concurrent requests; default for the engine's models",
        "required": False,
        "label": "max_concurrency",
    },
    requests_per_minute={
        "type": "str",
        "description": "maximum requests per minute, for all workers together; default for the engine's models",
        "required": False,
        "label": "requests_per_minute",
    },
    timeout={
        "type": "str",
        "description": "maximum seconds per request; default for the engine's models",
        "required": False,
        "label": "timeout",
    },
    max_retries={
        "type": "int",
        "description": "retries of a failed request; up to twice as many while other requests succeed, "
        "six times as many after 429; default for the engine's models",
        "required": False,
        "label": "max_retries",
    },
    cache_ttl={
        "type": "int",
        "description": "seconds that a stored answer stays valid; default for the engine's models",
        "required": False,
        "label": "cache_ttl",
    },
)
