"""The catalogue of refusals: a wrong USING clause → the one line that its writer reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from huggingface_api_handler.arguments import ENGINE as SPECS
from huggingface_api_handler.arguments import EngineSettings, engine_settings, model_settings, query_settings
from huggingface_api_handler.errors import HuggingFaceError, ModelNotFound, SettingsError
from huggingface_api_handler.tasks.task import ModelFacts


class Identifier:
    """A bare word, as MindsDB's parser hands it over."""

    def __init__(self, *parts: str) -> None:
        self.parts = list(parts)


class Parameter:
    """Another of the parser's objects."""


TAGS = {
    "org/classifier": ("text-classification", ()),
    "org/polar": ("text-classification", ()),
    "org/chess": ("reinforcement-learning", ()),
    "org/writer": ("text-generation", ("conversational",)),
}


def hub(model_id: str, token: str | None) -> ModelFacts | None:
    if model_id == "org/gone":
        raise ModelNotFound("the Hub has no model org/gone", advice="Look whether its name is right")
    if model_id == "org/away":
        return None
    tag, tags = TAGS.get(model_id, (None, ()))
    labels = {"1": "POSITIVE", "0": "NEGATIVE"} if model_id == "org/polar" else {}
    return ModelFacts(id=model_id, pipeline_tag=tag, tags=tags, id2label=labels)


def engine(**arguments: Any) -> EngineSettings:
    return engine_settings({"media_roots": "/srv/media", **arguments}, environ={})


C = {"task": "text-classification", "input_column": "review"}
S = {"task": "summarization", "input_column": "text"}
Z = {"task": "zero-shot-classification", "input_column": "text", "candidate_labels": "a, b"}
L = {"model_name": "org/polar", "input_column": "review"}
X = {"task": "chat-completion", "input_column": "text"}
T = {"task": "translation", "input_column": "text"}
G = {"task": "text-generation", "model_name": "org/writer"}
HF = "https://x.endpoints.huggingface.cloud"
TOO_DEEP = '{"x": ' + "[" * 40 + "]" * 40 + "}"

CREATE: list[tuple[Mapping[str, Any] | None, str]] = [
    # price
    (
        {**X, "price": {"input": 0.5}},
        "price has input without output, and chat-completion is billed by both: write, for example, "
        'price = {"input": 0.5, "output": 0.8}, with 0 for what is free',
    ),
    (
        {**G, "input_column": "text", "price": {"output": 3, "second": 1}},
        "price has output without input, and text-generation is billed by both: write, for example, "
        'price = {"input": 0.6, "output": 3}, with 0 for what is free',
    ),
    (
        {"task": "feature-extraction", "input_column": "text", "price": {"input": 0.02, "output": 1}},
        "price has the field output, but no service reports output tokens of feature-extraction: "
        'write price = {"second": 0.00012}',
    ),
    (
        {
            "task": "feature-extraction",
            "model_name": "org/name",
            "provider": "scaleway",
            "input_column": "a",
            "price": {"output": 1},
        },
        "price has the field output, but no service reports output tokens of feature-extraction: "
        'write price = {"input": 0.02}',
    ),
    (
        {
            "task": "text-to-image",
            "model_name": "org/name",
            "provider": "fal-ai",
            "input_column": "text",
            "price": {"output": 40},
        },
        "price has the field output, but no service reports output tokens of text-to-image: "
        'write price = {"request": 0.003}',
    ),
    (
        {**C, "price": {"per_token": 1}},
        "price must have only the fields input and output (USD per million tokens), second and request, not "
        """'per_token': write price = {"second": 0.00012}""",
    ),
    # task and model
    (
        None,
        "USING has neither task nor model_name: write task = 'text-classification', input_column = 'text' "
        "(RETRAIN needs all arguments again)",
    ),
    ({**C, "task": Identifier("summarization")}, "task needs quotes: write task = 'summarization'"),
    ({**C, "task": "sumarization"}, "unknown task 'sumarization': did you mean 'summarization'?"),
    ({**C, "task": "embeddings"}, "unknown task 'embeddings': did you mean 'feature-extraction'?"),
    ({**C, "task": "LLM"}, "unknown task 'LLM': did you mean 'chat-completion'?"),
    ({**C, "task": "image_classifcation"}, "unknown task 'image_classifcation': did you mean 'image-classification'?"),
    (
        {**C, "input_column": "{{ review }}"},
        "input_column must be the name of a column without braces: write input_column = 'review'",
    ),
    ({**C, "task": "chat"}, "unknown task 'chat': did you mean 'chat-completion'?"),
    (
        {**C, "model": "a/b", "model_name": "a/c"},
        "model_name and model are the same argument: write only model_name",
    ),
    (
        {**C, "model_name": "https://huggingface.co/org/name"},
        "model_name must be an ID, not a URL: write model_name = 'org/name'",
    ),
    (
        {**C, "model_name": "org/name:groq"},
        "provider 'groq' does not serve text-classification but chat-completion; text-classification is "
        "served by hf-inference",
    ),
    (
        {**C, "model_name": "../../etc/passwd"},
        "model_name must be the ID of a model on the Hub, not '../../etc/passwd': write model_name = 'org/name'",
    ),
    (
        {**C, "model_name": "a/b\r\nX: y"},
        "model_name must be the ID of a model on the Hub, not 'a/b X: y': write model_name = 'org/name'",
    ),
    (
        {**X, "model_name": "org/writer:groq", "provider": "together"},
        "model_name ends in ':groq' and provider is 'together': write only one of them",
    ),
    (
        {**C, "model_name": "org/name:togeter"},
        "model_name ends in ':togeter', and provider 'togeter' is unknown: did you mean 'together'?",
    ),
    (
        {**C, "provider": "cheapest"},
        "provider = 'cheapest' is for chat-completion only: write provider = 'auto', or a provider's name",
    ),
    (
        {**X, "provider": "groq, auto"},
        "provider 'auto' chooses among all providers: write provider = 'auto' without other names",
    ),
    ({**X, "provider": "groq, groq"}, "provider lists 'groq' twice: write it once"),
    ({**X, "provider": 5}, "provider must be a list, or text with commas, not 5: write provider = 'hf-inference'"),
    ({**C, "provider": "togeter"}, "provider 'togeter' is unknown: did you mean 'together'?"),
    (
        {**C, "provider": "groq"},
        "provider 'groq' does not serve text-classification but chat-completion; "
        "text-classification is served by hf-inference",
    ),
    (
        {"task": "chat-completion", "input_column": "q", "provider": "openai"},
        "provider 'openai' is not served: Hugging Face passes nothing on to OpenAI: write endpoint = "
        "'https://api.openai.com/v1' with OpenAI's own api_key, and have the engine's owner name api.openai.com in "
        "allowed_hosts",
    ),
    (
        {"task": "audio-to-audio", "input_column": "s", "provider": "wavespeed"},
        "provider 'wavespeed' does not serve audio-to-audio but image-to-image, text-to-image, text-to-video, "
        "image-to-video; audio-to-audio is served by hf-inference",
    ),
    (
        {"task": "video-classification", "input_column": "s", "provider": "nscale"},
        "provider 'nscale' does not serve video-classification but chat-completion, text-to-image; "
        "no provider serves video-classification: write an endpoint that does",
    ),
    (
        {"model_name": "org/unsaid", "input_column": "text"},
        "the Hub names no task for org/unsaid: write task = '…'",
    ),
    (
        {"model_name": "org/chess", "input_column": "text"},
        "org/chess is a 'reinforcement-learning' model, which is not supported: write task = '…' if it also "
        "does another task",
    ),
    (
        {"model_name": "org/away", "input_column": "text"},
        "the Hugging Face Hub cannot be reached, so the task of org/away is unknown: write task = '…'",
    ),
    (
        {**S, "model_name": "org/classifier"},
        "org/classifier is a text-classification model, not one for summarization: write task = 'text-"
        "classification', or model_name = 'facebook/bart-large-cnn'",
    ),
    (
        {"task": "translation", "input_column": "text"},
        "task 'translation' needs a model: write model_name = 'org/name', or lang_input = 'en', lang_output = 'fr'",
    ),
    (
        {"task": "text-generation", "input_column": "text"},
        "task 'text-generation' needs a model: write model_name = 'org/name', or task = 'chat-completion', "
        "whose default model is meta-llama/Llama-3.1-8B-Instruct",
    ),
    # inputs
    (
        {"task": "question-answering", "input_column": "q"},
        "task 'question-answering' needs context_column: write context_column = 'context' or context = '…'",
    ),
    (
        G,
        "task 'text-generation' needs input_column: write input_column = 'text' or "
        "prompt_template = 'Summarise: {{review}}'",
    ),
    (
        {"task": "table-question-answering", "input_column": "q"},
        "task 'table-question-answering' needs table_column: write table_column = 'table'",
    ),
    (
        {**C, "input_column": 5},
        "input_column must be the name of a column in quotes, not 5: write input_column = 'text'",
    ),
    ({**C, "input_column": " "}, "input_column must be the name of a column: write input_column = 'text'"),
    (
        {**G, "input_column": "a", "prompt_template": "{{a}}"},
        "input_column and prompt_template are mutually exclusive: write only one of them",
    ),
    (
        {**G, "prompt_template": "Hello {{name"},
        "prompt_template has an unmatched '{{' or '}}': write prompt_template = 'Summarise: {{review}}'",
    ),
    (
        {**G, "prompt_template": "Hello {name}"},
        "prompt_template contains no column in double braces: write prompt_template = '… {{name}}'",
    ),
    (
        {"task": "chat-completion", "prompt": "Summarise {{title}}"},
        "prompt is sent as written, and '{{title}}' is not replaced: write prompt_template = 'Summarise {{title}}'",
    ),
    (
        {"task": "question-answering", "question": "Who is {{ name }}?", "context_column": "c"},
        "question is sent as written, and '{{ name }}' is not replaced: build the text in a sub-select, and "
        "write input_column = 'text'",
    ),
    (
        {**X, "system_prompt": "You are {{role}}."},
        "system_prompt is sent as written, and '{{role}}' is not replaced: put the column into prompt_template",
    ),
    # rows that share a prompt
    (
        {**X, "rows_per_request": 200},
        "rows_per_request must be a whole number from 1 to 100, not 200: write rows_per_request = 20",
    ),
    (
        {**X, "audit": 0.1},
        "audit has no effect on rows that are sent alone: write rows_per_request = 20",
    ),
    (
        {**X, "rows_per_request": 20, "audit": 2},
        "audit must be a number from 0 to 1, not 2: write audit = 0.02",
    ),
    (
        {**X, "rows_per_request": 20, "tools": [{"type": "function"}]},
        "tools and rows_per_request are mutually exclusive (a tool call belongs to one row): remove "
        "tools or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "logprobs": True},
        "logprobs and rows_per_request are mutually exclusive (probabilities of tokens belong to one row): remove "
        "logprobs or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "n": 2},
        "n and rows_per_request are mutually exclusive (a row has one answer): remove n or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "stop": ["."]},
        "stop and rows_per_request are mutually exclusive (it would end the answers of all rows): remove "
        "stop or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "parameters": {"stream": True}},
        "stream and rows_per_request are mutually exclusive (all answers come at once): remove "
        "stream or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "response_format": {"type": "json_object"}},
        "response_format and rows_per_request are mutually exclusive (all answers come in one JSON object): remove "
        "response_format or rows_per_request",
    ),
    (
        {**X, "rows_per_request": 20, "image_column": "photo"},
        "image_column and rows_per_request are mutually exclusive: remove one of them",
    ),
    (
        {**C, "rows_per_request": 20},
        "rows_per_request is not an argument of task 'text-classification' but of chat-completion: remove it",
    ),
    # labels that do not fit the model's
    (
        {**L, "labels": ["negative", "neutral", "positive"]},
        "labels must be 2 names, one for each label of org/polar in its order (NEGATIVE, POSITIVE), not 3: "
        "write labels = 'NEGATIVE, POSITIVE' with your own names",
    ),
    (
        {**L, "labels": "good"},
        "labels must be 2 names, one for each label of org/polar in its order (NEGATIVE, POSITIVE), not 1: "
        "write labels = 'NEGATIVE, POSITIVE' with your own names",
    ),
    ({**L, "labels": "good, good"}, "labels lists 'good' twice: write it once"),
    (
        {**L, "labels": "positive, negative"},
        "labels gives the name 'positive' to another label of org/polar: write the names in the order of its labels, "
        "NEGATIVE, POSITIVE",
    ),
    ({**C, "labels": "good, good"}, "labels lists 'good' twice: write it once"),
    # the task's own arguments, and its parameters
    (
        {"task": "zero-shot-classification", "input_column": "text"},
        "task 'zero-shot-classification' needs candidate_labels: write candidate_labels = 'food, billing, sports'",
    ),
    (
        {**Z, "candidate_labels": []},
        "candidate_labels must not be empty: write candidate_labels = 'food, billing, sports'",
    ),
    ({**Z, "candidate_labels": "a, b, a"}, "candidate_labels lists 'a' twice: write it once"),
    (
        {**Z, "hypothesis_template": "This is {{label}}."},
        "hypothesis_template must contain {} once, which is replaced by each label, and no other braces, not "
        "'This is {{label}}.': write hypothesis_template = 'This text is about {}.'",
    ),
    (
        {**Z, "parameters": {"hypothesis_template": "This is news."}},
        "hypothesis_template must contain {} once, which is replaced by each label, and no other braces, not "
        "'This is news.': write hypothesis_template = 'This text is about {}.'",
    ),
    (
        {**X, "max_tokens": 5, "max_output_length": 9},
        "max_output_length and max_tokens are the same limit: write only one of them",
    ),
    # languages
    (
        {**T, "model_name": "Helsinki-NLP/opus-mt-en-de", "lang_input": "en", "lang_output": "fr"},
        "lang_output = 'fr' has no effect on Helsinki-NLP/opus-mt-en-de, which translates from en to de: create a "
        "model with the model_name of another one, or without model_name",
    ),
    (
        {**T, "model_name": "facebook/mbart-large-50", "lang_output": "fr_XX"},
        "lang_input and lang_output belong together: write lang_input, too",
    ),
    (
        {**T, "lang_input": "English", "lang_output": "de"},
        "lang_input must be a code for the task's default model, not 'English': write lang_input = 'en'",
    ),
    (
        {**X, "response_format": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "response_format is a JSON schema without its frame: write response_format = {'type': 'json_schema', "
        "'json_schema': {'name': 'answer', 'schema': {…}}}, or output_schema for typed columns",
    ),
    (
        {**Z, "candidate_labels": '["a"'},
        "candidate_labels contains invalid JSON, '[\"a\"': write candidate_labels = 'food, billing, sports'",
    ),
    (
        {"task": "feature-extraction", "input_column": "text", "pooling": "men"},
        "pooling must be one of 'mean', 'cls', 'none', not 'men': write pooling = 'mean'",
    ),
    ({**G, "input_column": "t", "temprature": 1}, "unknown argument 'temprature': did you mean 'temperature'?"),
    (
        {**C, "nonsense": 1},
        "unknown argument 'nonsense': task 'text-classification' accepts input_column, labels, "
        "function_to_apply, top_k; write other fields of its server inside parameters = {…}",
    ),
    (
        {**S, "candidate_labels": "a, b"},
        "candidate_labels is not an argument of task 'summarization' but of zero-shot-classification, zero-"
        "shot-object-detection and others: remove it",
    ),
    ({**C, "top_k": "many"}, "top_k must be a whole number of at least 1, not 'many': write top_k = 3"),
    (
        {**C, "parameters": {"top_k": 3}, "top_k": 4},
        "top_k is given twice, inside parameters and beside it: write it once",
    ),
    (
        {**C, "parameters": '{"top_k": 1'},
        "parameters contains invalid JSON, '{\"top_k\": 1': write parameters = {'top_k': 3}",
    ),
    (
        {**C, "parameters": [1]},
        "parameters must be an object, or JSON text of one, not a list: write parameters = {'top_k': 3}",
    ),
    (
        {**C, "parameters": TOO_DEEP},
        "parameters must not be nested deeper than 32 levels: write parameters = {'top_k': 3}",
    ),
    (
        {**C, "parameters": {"x": float("inf")}},
        "parameters contains a number that is not finite, or does not fit into 64 bits: write parameters = "
        "{'top_k': 3}",
    ),
    ({**C, "parameters": {"x": Identifier("y")}}, "parameters contains a word without quotes: write it in quotes"),
    # execution
    ({**C, "timeout": 0}, "timeout must be a number from 0.1 to 3600, not 0: write timeout = 60"),
    (
        {**C, "timeout": Parameter()},
        "timeout must be a number from 0.1 to 3600, not a Parameter: write timeout = 60",
    ),
    (
        {**C, "max_batch_size": 2000},
        "max_batch_size must be a whole number from 1 to 1000, not 2000: write max_batch_size = 32",
    ),
    (
        {**C, "max_concurrency": "1.5"},
        "max_concurrency must be a whole number from 1 to 256, not '1.5': write max_concurrency = 16",
    ),
    ({**C, "max_requests": 2**70}, "max_requests must be a number that fits into 64 bits: write max_requests = 1000"),
    ({**C, "deadline": float("nan")}, "deadline must be a finite number: write deadline = 600"),
    ({**C, "use_cache": "maybe"}, "use_cache must be true or false, not 'maybe': write use_cache = false"),
    ({**C, "on_error": "skip"}, "on_error must be 'raise' or 'null', not 'skip': write on_error = 'null'"),
    ({**C, "on_error": None}, "on_error is the SQL value NULL: write on_error = 'null', with quotes"),
    ({**C, "Timeout": 1, "timeout": 2}, "timeout is given twice"),
    # addresses, folders, secrets
    (
        {**C, "endpoint": "https://evil.example/x"},
        "endpoint is refused: 'evil.example' is not a host that this engine may send requests to (its owner can "
        "allow it: CREATE ML_ENGINE … USING allowed_hosts = ['evil.example:443'])",
    ),
    (
        {**C, "endpoint": "https://user:password@x.endpoints.huggingface.cloud"},
        "endpoint is not a usable URL: a URL must not contain a user name or password: write endpoint = "
        "'https://my-endpoint.endpoints.huggingface.cloud'",
    ),
    (
        {**C, "endpoint": HF, "provider": "groq"},
        "endpoint and provider are mutually exclusive: write only one of them",
    ),
    (
        {"endpoint": HF, "input_column": "text"},
        "an endpoint needs a task: write task = 'text-classification', or the task that it serves",
    ),
    (
        {**C, "base_url": "https://api-inference.huggingface.co/models"},
        "base_url names api-inference.huggingface.co, which Hugging Face has shut down: write base_url = "
        "'https://router.huggingface.co/hf-inference', or remove it",
    ),
    (
        {**C, "base_url": "http://router.huggingface.co/x"},
        "base_url must begin with https:// for a host of Hugging Face: write base_url = "
        "'https://router.huggingface.co…'",
    ),
    (
        {"task": "text-to-image", "input_column": "t", "output_dir": "/etc"},
        "output_dir must be inside one of the engine's media_roots: write output_dir = '/srv/media/out'",
    ),
    (
        {**C, "api_key": "not\u201da token"},
        "api_key contains spaces, quotes or other characters that a token cannot contain: write api_key = 'hf_…'",
    ),
    (
        {**X, "temperature": Identifier("hot")},
        "temperature must be a number of at least 0, not 'hot': write temperature = 0.5",
    ),
    (
        {**C, "timeout": Identifier("soon")},
        "timeout must be a number from 0.1 to 3600, not 'soon': write timeout = 60",
    ),
    (
        {**X, "endpoint": "localhost:8080/v1"},
        "endpoint must begin with https:// or http://: write endpoint = 'http://localhost:8080/v1'",
    ),
    (
        {**X, "endpoint": "models.example.com"},
        "endpoint must begin with https:// or http://: write endpoint = 'https://models.example.com'",
    ),
    ({**C, "api_key": Identifier("hf_" + "a" * 34)}, "api_key needs quotes: write api_key = 'hf_…'"),
    # arguments of other statements
    *(
        (
            {**task, name: True},
            f"{name} is an argument of a query: remove it here, and write SELECT * FROM my_model WHERE text = '' USING "
            f"{name} = true",
        )
        for task in (C, X)
        for name in ("stop", "clear_cache")
    ),
    (
        {**C, "track_column": "id", "threads": 3},
        "track_column is an argument of a query: write it in SELECT … USING, and remove it here; threads is an "
        "argument of a query: write it in SELECT … USING, and remove it here",
    ),
    (
        {**C, "batch_size": 10},
        "batch_size is an argument of a query: write it in SELECT … USING, and remove it here, or write "
        "max_batch_size for the rows of a request",
    ),
    # answers of language models
    (
        {**X, "output_schema": "topic txt"},
        "output_schema gives the field 'topic' the type 'txt', and types are text, integer, number, boolean, date, "
        "datetime, list: write output_schema = 'topic text'",
    ),
    (
        {**X, "output_schema": "topic"},
        "output_schema has no type for the field 'topic': write output_schema = 'topic text'",
    ),
    (
        {**X, "output_schema": {"type": "object", "properties": {"topic": {"type": "string"}}}},
        'output_schema must be an object of fields and their types, not a JSON schema: write {"topic": "text", '
        '"paid": "boolean"}',
    ),
    (
        {**X, "output_schema": '["topic"]'},
        "output_schema must give each field a type, and a list does not: write output_schema = 'topic text, urgent "
        "boolean, mood text in (good, bad)'",
    ),
    (
        {**X, "output_schema": '{"topic": "text"'},
        'output_schema contains invalid JSON, \'{"topic": "text"\': write output_schema = \'topic text, urgent '
        "boolean, mood text in (good, bad)'",
    ),
    (
        {**X, "output_schema": "topic text", "response_format": {"type": "json_object"}},
        "output_schema and response_format are mutually exclusive: write only one of them",
    ),
    (
        {**X, "output_schema": "topic text", "tools": [{"type": "function", "function": {"name": "f"}}]},
        "output_schema and tools are mutually exclusive: write only one of them",
    ),
    (
        {**C, "output_schema": "topic text"},
        "output_schema is not an argument of task 'text-classification' but of chat-completion: remove it",
    ),
    (
        {**X, "examples": [{"input": "x", "answer": "y"}]},
        "examples must have exactly an input and an output in each example, but example 1 has input, "
        "answer: write {'input': 'Where is my parcel?', 'output': …}",
    ),
    (
        {**X, "examples": [{"input": {"a": "x"}, "output": "y"}]},
        "examples must have text as input, without prompt_template, but example 1 has an object",
    ),
    (
        {"task": "chat-completion", "prompt_template": "{{a}} {{b}}", "examples": [{"input": "x", "output": "y"}]},
        "examples must have the columns of prompt_template as input, but example 1 has others: write {'input': "
        "{'a': '…', 'b': '…'}, 'output': …}",
    ),
    (
        {**X, "output_schema": "stars integer", "examples": [{"input": "x", "output": {"stars": "5"}}]},
        "examples must have outputs that match output_schema, but in example 1 the field 'stars' is '5', and "
        'must be a whole number or null: write {"input": "…", "output": {"stars": 1}}',
    ),
    (
        {
            **X,
            "output_schema": "mood text in (good, bad), tags list, urgent boolean, at date, more text",
            "examples": [{"input": "x", "output": "good"}],
        },
        "examples must have outputs that match output_schema, but example 1 has text: write "
        '{"input": "…", "output": {"mood": "good", "tags": ["…"], "urgent": true, "at": "2026-01-31", …}}',
    ),
    (
        {**X, "response_format": "json"},
        "response_format must be an object, or JSON text of one, not 'json': write response_format = "
        "{'type': 'json_object'}",
    ),
    # many at once
    (
        {**C, "tmeout": 1, "max_batchsize": 2, "top_k": "x", "max_retries": "-1"},
        "max_retries must be a whole number from 0 to 20, not '-1': write max_retries = 5; top_k must be a "
        "whole number of at least 1, not 'x': write top_k = 3; unknown argument 'tmeout': did you mean "
        "'timeout'?; unknown argument 'max_batchsize': did you mean 'max_batch_size'?",
    ),
    (
        {"model_name": "org/gone", "input_column": "text", "timeout": 0},
        "timeout must be a number from 0.1 to 3600, not 0: write timeout = 60; "
        "the Hub has no model org/gone: look whether its name is right",
    ),
]


@pytest.mark.parametrize(("using", "line"), CREATE)
def test_create_model_says(using: Mapping[str, Any] | None, line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        model_settings(using, engine(), hub=hub)
    assert str(refused.value) == line


def test_the_hubs_refusal_alone_is_raised_as_it_is() -> None:
    with pytest.raises(ModelNotFound) as refused:
        model_settings({"model_name": "org/gone", "input_column": "text"}, engine(), hub=hub)
    assert str(refused.value) == "the Hub has no model org/gone. Look whether its name is right."


def test_an_unlike_task_gets_the_whole_list() -> None:
    with pytest.raises(SettingsError) as refused:
        model_settings({"task": "poetry", "input_column": "text"}, engine(), hub=hub)
    line = str(refused.value)
    assert line.startswith("unknown task 'poetry': choose one of text-classification, ")
    assert line.endswith("tabular-regression")


QUERY: list[tuple[Mapping[str, Any], str]] = [
    *(
        (
            {name: 1},
            f"{name} is an argument of the engine: write it in CREATE ML_ENGINE, and remove it here",
        )
        for name in ("max_cost_per_day", "allowed_hosts", "media_roots", "bill_to")
    ),
    (
        {"max_cost": 0},
        "max_cost must be a number above 0, at most 1,000,000, not 0: write max_cost = 0.50",
    ),
    *(
        (
            {name: "x"},
            f"{name} cannot be changed in a query: remove it, or create another model with CREATE MODEL",
        )
        for name in (
            "task",
            "model",
            "model_name",
            "provider",
            "endpoint",
            "base_url",
            "api_key",
            "huggingface_api_api_key",
            "engine",
            "m.Task",
        )
    ),
    ({"m.top_k": "x"}, "top_k must be a whole number of at least 1, not 'x': write top_k = 3"),
    ({"top_k": 1, "M.Top_K": 2}, "top_k is given twice"),
    ({"m.tpo_k": 1}, "unknown argument 'tpo_k': did you mean 'top_k'?"),
    (
        {"other.top_k": 1},
        "other.top_k names no model of the query: write top_k or m.top_k, or the model's alias before it",
    ),
    ({"timeout": -1}, "timeout must be a number from 0.1 to 3600, not -1: write timeout = 60"),
    ({"input_column": None}, "task 'text-classification' needs input_column: write input_column = 'text'"),
]


@pytest.mark.parametrize(("overrides", "line"), QUERY)
def test_a_query_says(overrides: Mapping[str, Any], line: str) -> None:
    model = model_settings(C, engine(), hub=hub)
    with pytest.raises(SettingsError) as refused:
        query_settings(model, engine(), overrides, alias="m")
    message = str(refused.value)
    assert message == line.replace("m.Task cannot", "task cannot")


ENGINE: list[tuple[Mapping[str, Any], Mapping[str, str], str]] = [
    ({"apikey": "x"}, {}, "unknown argument 'apikey': did you mean 'api_key'?"),
    *(({name: "x"}, {}, f"unknown argument '{name}': did you mean 'api_key'?") for name in ("token", "hf_token")),
    (
        {},
        {"HF_TOKEN": "a\u201d"},
        "the environment variable HF_TOKEN contains spaces, quotes or other characters that a token cannot "
        "contain: copy it again",
    ),
    (
        {"allowed_hosts": "https://x/y"},
        {},
        "allowed_hosts must list hosts as 'host' or 'host:port', without https://, path or *, not "
        "'https://x/y': write allowed_hosts = 'models.example.com, 10.0.0.5:8080'",
    ),
    (
        {"media_roots": "media"},
        {},
        "media_roots must list absolute paths, not 'media': write media_roots = '/srv/media'",
    ),
    (
        {"bill_to": "a\r\nX-Evil: b"},
        {},
        "bill_to must be the name of an organization on the Hub, not 'a X-Evil: b': write bill_to = 'my-org'",
    ),
    (
        {"price": {"inputs": 0.6}},
        {},
        "price must have only the fields input and output (USD per million tokens), second and request, not 'inputs': "
        'write price = {"input": 0.6, "output": 0.8}',
    ),
    (
        {"price": {"second": "-1"}},
        {},
        "price has a wrong second, which must be a number from 0 to 1,000,000, not '-1': "
        'write price = {"input": 0.6, "output": 0.8}',
    ),
    (
        {"price": "cheap"},
        {},
        'price must be an object, or JSON text of one, not \'cheap\': write price = {"input": 0.6, "output": 0.8}',
    ),
    ({"price": {}}, {}, 'price is empty: write price = {"input": 0.6, "output": 0.8}'),
    (
        {"base_url": "router.huggingface.co"},
        {},
        "base_url must begin with https:// or http://: write base_url = 'https://router.huggingface.co'",
    ),
    (
        {"base_url": "https://gateway.example/models"},
        {},
        "base_url must end before /models, which is appended to it: write base_url = 'https://gateway.example'",
    ),
    (
        {"base_url": "https://gateway.example/?key=1"},
        {},
        "base_url must not have a query (?…), because paths are appended to it: remove the query",
    ),
    (
        {},
        {"HUGGINGFACE_API_BASE_URL": "nowhere"},
        "the environment variable HUGGINGFACE_API_BASE_URL is not a usable URL: a URL begins with https:// or"
        " http:// and a host",
    ),
    (
        {"task": "fill-mask", "dry_run": True, "rows_per_request": 3, "max_tokens": 3},
        {},
        "; ".join(
            f"{name} is an argument of a model: write it in CREATE MODEL, and remove it here"
            for name in ("task", "dry_run", "rows_per_request", "max_tokens")
        ),
    ),
    (
        {"timeout": "x", "foo": 1},
        {},
        "timeout must be a number from 0.1 to 3600, not 'x': write timeout = 60; unknown argument 'foo': "
        f"an engine accepts {', '.join(spec.name for spec in SPECS)}",
    ),
]


@pytest.mark.parametrize(("raw", "environ", "line"), ENGINE)
def test_create_engine_says(raw: Mapping[str, Any], environ: Mapping[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        engine_settings(raw, environ=environ)
    assert str(refused.value) == line


def test_a_key_that_is_passed_twice_is_refused_once() -> None:
    """CREATE ML_ENGINE validates it in the statement, and as it has been stored."""
    with pytest.raises(SettingsError) as refused:
        engine_settings({"api_key": "two words"}, environ={}, token="two words")
    assert str(refused.value).count("cannot contain") == 1


@pytest.mark.parametrize(("using", "_line"), CREATE)
def test_every_refusal_is_one_line_without_secrets(using: Mapping[str, Any] | None, _line: str) -> None:
    token = "hf_" + "s" * 34
    with pytest.raises(HuggingFaceError) as refused:
        model_settings({**(using or {}), "not_there": token, "api_key": f"{token} {token}"}, engine(), hub=hub)
    message = str(refused.value)
    assert "\n" not in message
    assert "s" * 8 not in message
    assert "password@" not in message
    assert len(message) <= 1100


def test_a_long_list_of_faults_is_counted() -> None:
    with pytest.raises(SettingsError) as refused:
        model_settings({**C, **{f"unheard_of_{number}": 1 for number in range(200)}}, engine(), hub=hub)
    message = str(refused.value)
    assert message.startswith("unknown argument 'unheard_of_0'")
    assert len(message) < 1000
    assert message.split("; and ")[1].endswith(" more")
