"""What CREATE MODEL takes for every task, as MindsDB reads it: plain constants.

MindsDB hides the values of those marked secret. What a task takes beside them stands in its entry.
"""

model_using_args = {
    "task": {
        "type": "str",
        "description": "the task, by its name on the Hub",
        "required": False,
    },
    "model_name": {
        "type": "str",
        "description": "the model's ID on the Hub",
        "required": False,
    },
    "model": {
        "type": "str",
        "description": "the same as model_name",
        "required": False,
    },
    "provider": {
        "type": "str",
        "description": "the Inference Provider that runs the model",
        "required": False,
    },
    "endpoint": {
        "type": "url",
        "description": "URL of a server that serves one model",
        "required": False,
    },
    "base_url": {
        "type": "url",
        "description": "overrides the engine's base_url",
        "required": False,
    },
    "api_key": {
        "type": "pwd",
        "description": "overrides the engine's api_key",
        "required": False,
        "secret": True,
    },
    "huggingface_api_api_key": {
        "type": "pwd",
        "description": "the same as api_key",
        "required": False,
        "secret": True,
    },
    "parameters": {
        "type": "dict",
        "description": "task parameters; each can also be written as an argument of its own",
        "required": False,
    },
    "options": {
        "type": "dict",
        "description": "request options, such as wait_for_model",
        "required": False,
    },
    "on_error": {
        "type": "str",
        "description": "after an error that retries cannot fix: stop the query (raise), or set the row to NULL (null)",
        "required": False,
    },
    "use_cache": {
        "type": "bool",
        "description": "read answers from the cache and store new ones in it",
        "required": False,
    },
    "cache_ttl": {
        "type": "int",
        "description": "seconds that a stored answer stays valid",
        "required": False,
    },
    "max_batch_size": {
        "type": "int",
        "description": "maximum rows per request",
        "required": False,
    },
    "max_concurrency": {
        "type": "int",
        "description": "maximum concurrent requests",
        "required": False,
    },
    "requests_per_minute": {
        "type": "str",
        "description": "maximum requests per minute, for all workers together",
        "required": False,
    },
    "timeout": {
        "type": "str",
        "description": "maximum seconds per request",
        "required": False,
    },
    "max_retries": {
        "type": "int",
        "description": "retries of a failed request; up to twice as many while other requests succeed, "
        "six times as many after 429",
        "required": False,
    },
    "deadline": {
        "type": "str",
        "description": "maximum seconds per query",
        "required": False,
    },
    "max_requests": {
        "type": "int",
        "description": "maximum requests per query",
        "required": False,
    },
    "include_meta": {
        "type": "bool",
        "description": "add a JSON column with the source, attempts and latency of each answer",
        "required": False,
    },
    "dry_run": {
        "type": "bool",
        "description": "send nothing and show what would be sent",
        "required": False,
    },
}
