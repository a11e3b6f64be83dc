"""What CREATE MODEL takes for every task, as MindsDB reads it: plain constants.

MindsDB hides the values of those marked secret. What a task takes beside them stands in its entry.
"""

model_using_args = {
    "task": {
        "type": "str",
        "description": "what the model is asked to do, by the Hub's name",
        "required": False,
    },
    "model_name": {
        "type": "str",
        "description": "the model's id on the Hub",
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
        "description": "as for the engine, for this model",
        "required": False,
    },
    "api_key": {
        "type": "pwd",
        "description": "as for the engine, for this model",
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
        "description": "fields of the request's parameters; they may also be written one by one",
        "required": False,
    },
    "options": {
        "type": "dict",
        "description": "fields of the request's options",
        "required": False,
    },
    "on_error": {
        "type": "str",
        "description": "what the first lasting error does: end the query, or leave the row NULL",
        "required": False,
    },
    "use_cache": {
        "type": "bool",
        "description": "read answers from the cache and keep them there",
        "required": False,
    },
    "cache_ttl": {
        "type": "int",
        "description": "seconds an answer is kept",
        "required": False,
    },
    "max_batch_size": {
        "type": "int",
        "description": "rows in one request",
        "required": False,
    },
    "max_concurrency": {
        "type": "int",
        "description": "requests under way at once",
        "required": False,
    },
    "requests_per_minute": {
        "type": "str",
        "description": "requests started in a minute, by all workers together",
        "required": False,
    },
    "timeout": {
        "type": "str",
        "description": "seconds one request may take",
        "required": False,
    },
    "max_retries": {
        "type": "int",
        "description": "how often a failed one is sent again; while others pass up to twice that, after 429 six times "
        "that",
        "required": False,
    },
    "deadline": {
        "type": "str",
        "description": "seconds a query may take",
        "required": False,
    },
    "max_requests": {
        "type": "int",
        "description": "requests a query may make",
        "required": False,
    },
    "include_meta": {
        "type": "bool",
        "description": "add a column on how each answer came about",
        "required": False,
    },
    "dry_run": {
        "type": "bool",
        "description": "send nothing, say what would be sent",
        "required": False,
    },
}
