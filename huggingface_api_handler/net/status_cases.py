"""Every way in which a response fails, with its error and its text: the one place for both.

The server's own reason is put behind what happened; the advice comes last. If a failure concerns an account, the
advice differs between Hugging Face and a server of the user's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import (
    ConnectionFailed,
    EndpointGone,
    Forbidden,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelLoading,
    ModelNotFound,
    OutOfCredits,
    PayloadTooLarge,
    RateLimited,
    ServiceTimeout,
    SettingsError,
    Unauthorized,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to fail.

    Attributes:
        happened: what is wrong; the server's reason follows.
        advice: what to do; ``None``: what the class of the error says.
        own_server: what to do instead if the service is not Hugging Face.
        retryable, divisible: instead of those of the class. A batch that fails in a divisible way is split, so the
            advice that a user reads is about one row.
        concerns_content: see :class:`..errors.HuggingFaceError`.
        is_too_long: see there.
        argument: that it is about.
    """

    error: type[HuggingFaceError]
    happened: str
    advice: str | None = None
    own_server: str | None = None
    retryable: bool | None = None
    divisible: bool | None = None
    concerns_content: bool = False
    is_too_long: bool = False
    argument: str | None = None


PAUSED = Case(
    EndpointGone,
    "the endpoint is paused",
    "Its owner can resume it at https://endpoints.huggingface.co; then run the query again",
)
STARTING = Case(
    ModelLoading, "the model is starting", "Run the query again in a minute, or raise max_retries or timeout"
)
NOT_FOUND = Case(
    ModelNotFound,
    "the model is not available at this service",
    "Find a provider that serves it at the model's page; then create the model with that provider, or with "
    "another model_name",
    "Check model_name, which must be the name that the server uses for the model, and endpoint, including its path",
)
NO_PROVIDER = Case(
    ModelNotFound,
    "the model is not available at this service",
    "Create the model with another model_name or provider, "
    "or enable more providers at https://huggingface.co/settings/inference-providers",
)
UNKNOWN_MODEL = Case(
    ModelNotFound,
    "the service has no model with this name",
    "Create the model with another model_name",
    "Create the model with the model_name that the server uses; most servers list theirs at /v1/models",
)
MODEL_REQUIRED = Case(
    SettingsError,
    "the server requires the name of a model",
    "Create the model with model_name, the name that the server uses for the model; most servers list theirs at "
    "/v1/models",
)
NO_CHAT = Case(
    ModelNotFound,
    "the model does not support chat",
    "Create the model with task = 'text-generation', or with the model_name of a chat model",
)
OTHER_TASK = Case(
    ModelNotFound,
    "the model is not available for this task",
    "Create the model with the task that the message names, or with another model_name",
)
TOKEN = Case(
    Unauthorized,
    "the token was refused",
    "Create a token at https://huggingface.co/settings/tokens and set it as api_key = 'hf_…' of a new ML_ENGINE, "
    "or of this model with RETRAIN; a private model or a wrong model_name causes the same error",
    "Set the key that this server accepts as api_key of a new ML_ENGINE, or of this model with RETRAIN",
)
NO_TOKEN = Case(
    Unauthorized,
    "a token is required, and none was sent",
    "Create one at https://huggingface.co/settings/tokens and write CREATE ML_ENGINE … USING api_key = 'hf_…'; "
    "an endpoint or base_url receives the token only if the engine allows its host",
    "Write CREATE ML_ENGINE … USING api_key = '…' with the key that this server accepts; "
    "an endpoint or base_url receives it only if the engine allows its host",
)
#: Put behind the advice of both if an organization is billed.
CHECK_BILL_TO = "; check bill_to as well: the token must be allowed to bill that organization"
PERMISSION = Case(
    Forbidden,
    "the token lacks a permission",
    "Give it the permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens; "
    "with bill_to, for that organization too",
    "Give the key the permission that the message names, at the server that issued it",
)
GATED = Case(
    Forbidden,
    "the model is gated, and the token's account has no access",
    "Accept its terms at the model's page with the account that the token belongs to, or choose another model_name",
)
FORBIDDEN = Case(
    Forbidden,
    "the service refused access",
    "Check the token's permissions (https://huggingface.co/settings/tokens), the access conditions at "
    "the model's page, and bill_to",
    "Check api_key and its permissions on the server",
)
#: Amazon's firewall says no more to a row's text, and its gateway no more to a key.
NO_REASON = replace(FORBIDDEN, concerns_content=True)
FIREWALL = Case(
    Forbidden,
    "the service, or a firewall in front of it, refused the request",
    "If other rows are answered, change or leave out this row: a firewall may mistake its SQL, HTML or code for "
    "an attack; if no row is answered, check the token, base_url and endpoint",
    divisible=True,
    concerns_content=True,
)
CONTENT_POLICY = Case(
    InvalidInput,
    "the service refused the content of this row",
    "Change the row, or leave it out",
    divisible=True,
    concerns_content=True,
)
#: A moderation that speaks of the account: of the account's past, or of a row whose text speaks of accounts.
ACCOUNT_OR_CONTENT = Case(
    Forbidden,
    "the service refused the account, or the content of this row",
    "If other rows are answered, change or leave out this row; if no row is answered, ask the service about the "
    "account that the token belongs to",
    divisible=True,
    concerns_content=True,
)
BAD_PARAMETER = Case(
    SettingsError,
    "the model does not accept one of the parameters",
    "Remove the parameter that the message names from USING",
)
NO_IMAGES = Case(
    ModelNotFound,
    "the model does not accept images",
    "Create the model with the model_name of one that does, or without image_column",
)
BROKEN_FORM = Case(
    InvalidAnswer,
    "the model's answer does not have the requested format",
    "Run the query again; if it fails again, describe the format in the prompt, or choose another model",
    retryable=True,
    divisible=False,
)
OUT_OF_MEMORY = Case(
    InvalidInput,
    "the server ran out of memory on this request",
    "Shorten this row's input, or use a server with more memory",
)
CONTENT_TYPE = Case(
    InvalidInput,
    "the service does not accept this kind of content",
    "Use another format for media, such as PNG, JPEG, WAV or FLAC; for an endpoint, check that it serves this task",
    divisible=False,
)
TOO_LONG = Case(
    InvalidInput,
    "the input is longer than the model accepts",
    "Shorten the input, or choose a model that accepts longer ones",
    is_too_long=True,
)
TOO_MUCH_OUTPUT = Case(
    InvalidInput,
    "the input and the requested output together are longer than the model accepts",
    "Lower max_tokens (text-generation: max_new_tokens), or shorten the input",
    argument="max_tokens",
)
GAPS = Case(
    InvalidInput,
    "a column contains NULL or text, which the model cannot use",
    "Replace NULL in a sub-select, for example with COALESCE(age, 0), or set input_columns to the columns to read",
)
BATCH = Case(
    InvalidInput,
    "the list of inputs is longer than the server accepts",
    "Give this row fewer texts, or use a server that accepts longer lists",
)
AUDIO = Case(
    InvalidInput,
    "the audio is longer than the model accepts in one request",
    "Add return_timestamps = true, or split the audio into pieces of 30 seconds",
    divisible=False,
)
INPUT = Case(
    InvalidInput,
    "the service rejected the input",
    "Check this row's values, and the arguments of the model (DESCRIBE <model>.args)",
)
OVERLOADED = Case(RateLimited, "the service's rate limit was exceeded")
BUSY = Case(Unavailable, "the service failed")
GATEWAY = Case(
    Unavailable,
    "the service did not respond in time",
    "Make requests smaller (lower max_new_tokens, max_tokens or max_batch_size), or run the query again later",
)
OUT_OF_CREDITS = Case(
    OutOfCredits,
    "the account's credits are used up",
    own_server="Add credits to the account that api_key belongs to, then run the query again: "
    "rows that were answered are not billed again",
)
NOT_READY = "Run the query again later"
CHECK_ADDRESS = "Check endpoint and base_url"
#: A firewall may do this to the text of one row, which must not end the query for all rows.
REDIRECTED = Case(InvalidAnswer, "the service redirected the request elsewhere", CHECK_ADDRESS, retryable=False)
NO_CONTENT = Case(InvalidAnswer, "the service sent an empty response", CHECK_ADDRESS, retryable=False, divisible=False)
HIDDEN = Case(Unavailable, "the service responded with an error", NOT_READY, divisible=True)

#: How models say that an input has too many tokens, each library in its own words.
_TOO_LONG = (
    r"size of tensor a \(\d+\) must match|sequence length|must have less than \d+ tokens|context (length|window)"
    r"|too many (input )?tokens|index out of range in self|max_new_tokens` must be <=|reduce the length"
    r"|length \d+ exceeds|(prompt|input)s? (is|are) too long|longer than the maximum|maximum (number of )?tokens"
)
#: The same by llama.cpp, which has answered with status 500 as well.
_CONTEXT_SIZE = r"exceeds? the available context size|larger than the max context size|tokens\) is too large to process"
_CONTENT_POLICY = (
    r"content[ _-]?(management )?(policy|filter|moderation)|moderation|responsible.?ai|flagged (as|for|by)"
    r"|content exists risk|considered high risk|不安全|敏感"
    r"|safety (system|filter|policy|guidelines?)|violat\w+ (of )?((our|the|its|their|usage|content|community|safety) )*"
    r"(polic|guideline|terms)"
    r"|(inappropriate|prohibited|disallowed|sensitive|unsafe|harmful|nsfw) (content|input|prompt)"
)
_FIREWALL = r"\bblocked\b|firewall|\bwaf\b|attention required|request rejected|^error code: 10\d\d$"
#: A refusal of access that says nothing else.
BARE_REFUSAL = re.compile(r"\W*(403\W+)?((access )?(is )?(forbidden|denied))?\W*", re.I)
_BAD_PARAMETER = (
    r"model_kwargs|`generate_kwargs` is non empty"
    r"|unexpected keyword argument|unknown (parameter|field)|unexpected fields? in the request"
    r"|extra inputs are not permitted|matryoshka( representation| embeddings|_dim)"
    r"|only supports (matryoshka )?dimensions\b"
)
_UNKNOWN_MODEL = (
    r"(invalid|unknown|unrecogni[sz]ed) model( name| id)?\b|no such model|not a valid model\b"
    r"|model_(not_(found|supported|available)|decommissioned)"
    r"|\bmodel [`'\"]?[\w./:@-]{1,120}[`'\"]? has been (decommissioned|deprecated|retired)"
    r"|\bmodel([ :]{1,2}[`'\"]?[\w./:@-]{1,120}[`'\"]?)?,? (does not exist|(is |was |could )?not (be )?found)"
)
#: The output that was asked for counts as well: vLLM's words, text-generation-inference's, OpenAI's.
_TOO_MUCH_OUTPUT = (
    r"max_(completion_)?tokens\b.{0,40} is too large: .{0,80}context length|\+ `max_new_tokens` must be <="
    r"|\d+ in the messages, \d+ in the completion"
)
#: Of all images: "GIF images are not supported" and "does not support images larger than 20 MB" are about one row.
_NO_IMAGES = (
    r"(^|[.:;\"'(]\s?)(image|multi-?modal|vision)s?( input| data)?s? (is|are) not supported|at most 0 image"
    r"|(image|multi-?modal|vision)s?( input| data)?s? (is|are) not supported (by|for|with) (this|the) model"
    r"|not (support|accept) (image|multi-?modal|vision)s?( (input|content|data|modalit|capabilit|understanding)\w*)?"
    r"(\s*($|[.,;:!\"'()-])| (by|for|on|at|and|or)\b)"
    r"|image_url is only supported|not a (multi-?modal|vision)|support image input"
)
_OTHER_TASK = (
    r"not supported for task|does not support (the )?(embeddings?|chat( completions?)?|completions?|rerank\w*|"
    r"classif\w+|transcriptions?|logits computation)\b"
)
#: Of the account, in a status that would concern the request, the access or the moment.
_NO_CREDITS = (
    r"insufficient[ _](quota|balance|credits?|funds)|balance is too low|not enough (balance|credits?)"
    r"|key limit exceeded|(exceeded|out of|depleted) (your )?([\w-]+ ){0,2}credits"
)
#: Before anything in quotes, which may be the row.
_ACCOUNT = (
    r"\b(account|organi[sz]ation|workspace|api[ _-]?key|billing|payment)\b.{0,60}"
    r"\b(suspend|block|bann|ban\b|disable|deactivat|terminat|restrict|revok|flagged|lock|violat|fail|overdue|past due)"
    rf"|{_NO_CREDITS}"
)
#: Limits of the rate, in whatever they count.
_RATE = r"\b(per|each|every)[ -](second|minute|hour)\b"
_KEY_REFUSED = (
    r"token seems invalid|authorization header|\b(invalid|incorrect|expired) (api[ _-]?key|(api )?token)\b"
    r"|\bapi[ _-]?key (is )?(not valid|invalid|expired|incorrect)"
)
_MODEL_REQUIRED = (
    r"(^|[.\s\"'`])model[`'\"]?: (field required|missing)|must (provide|specify) (a|the) model\b"
    r"|model (parameter|name|field) is (required|missing)|(missing|required) (required )?(parameter|field|property)"
    r"[^a-z]{1,4}model\b|missing field `model`|'model' is a required"
)

#: Found in the server's reason or in its code for it: (statuses, pattern, case). The first match counts.
BY_REASON: tuple[tuple[frozenset[int], re.Pattern[str], Case], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.I), case)
    for statuses, pattern, case in (
        # These quote the row, whose text may look like any of the others.
        ((400, 422), r"contains nan|missing values encoded|could not convert string to float", GAPS),
        ((400, 403, 422), rf"\A(?=.*({_CONTENT_POLICY}))[^'\"`“]*({_ACCOUNT})", ACCOUNT_OR_CONTENT),
        ((400, 403, 422, 451), _CONTENT_POLICY, CONTENT_POLICY),
        ((400, 403, 404, 503), r"endpoint is paused|is paused, ask", PAUSED),
        ((400, 404, 422), r"not supported by (any )?provider|no (inference )?provider", NO_PROVIDER),
        ((400, 404, 422), r"not a chat model", NO_CHAT),
        ((400, 404, 422, 500, 501), _OTHER_TASK, OTHER_TASK),
        ((400, 404, 415, 422, 500, 501), _NO_IMAGES, NO_IMAGES),
        ((400,), _KEY_REFUSED, TOKEN),
        ((429,), _RATE, OVERLOADED),
        ((400, 403, 429), _NO_CREDITS, OUT_OF_CREDITS),
        ((403,), r"gated|access to (this )?model|restricted|awaiting a review", GATED),
        ((403,), r"permission|on behalf of|not allowed to bill|authentication method", PERMISSION),
        ((403, 405, 406), _FIREWALL, FIREWALL),
        ((400, 422), _MODEL_REQUIRED, MODEL_REQUIRED),
        ((400, 404, 410, 422), _UNKNOWN_MODEL, UNKNOWN_MODEL),
        ((400, 422), _BAD_PARAMETER, BAD_PARAMETER),
        ((400, 500), r"out of memory", OUT_OF_MEMORY),
        ((400, 415), r"content[- ]type", CONTENT_TYPE),
        ((400, 413, 422), r"batch size \d+ ?>|maximum allowed batch|max_client_batch_size", BATCH),
        ((400, 422), r"mel input features", AUDIO),
        (
            (400,),
            r"failed to generate json|json_validate_failed|failed to call a function|tool_use_failed",
            BROKEN_FORM,
        ),
        ((400, 413, 422), _TOO_MUCH_OUTPUT, TOO_MUCH_OUTPUT),
        ((400, 413, 422, 500), _TOO_LONG, TOO_LONG),
        ((400, 500), _CONTEXT_SIZE, TOO_LONG),
        ((500, 502, 503), r"currently loading|is loading|scal(ed|ing)|starting|initiali[sz]ing|cold start", STARTING),
        ((500, 503), r"too many requests|rate limit|model is overloaded", OVERLOADED),
    )
)

#: (argument, pattern): how servers speak of an argument in a refusal that looks like the row's. The first match counts.
BY_ARGUMENT: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (argument, re.compile(pattern, re.I))
    for argument, pattern in (
        (
            "system_prompt",
            r"roles must alternate|(system|developer) (role|message|prompt|instruction)|role .{0,3}system"
            r"|only user and assist",
        ),
        ("response_format", r"response_format|json_schema|json_object|json mode"),
        ("max_tokens", r"\bmax_(completion_)?tokens\b"),
        ("tools", r"\btool (choice|call|use)"),
        ("n in parameters", r"\bn ?(=|must be|is)"),
        ("enable_thinking in parameters", r"\benable_thinking\b"),
        ("stream in parameters", r"\bstream(ing)?\b"),
        *(
            (name, rf"\b{name}\b")
            for name in (
                "temperature", "top_p", "top_k", "stop", "seed", "tools", "tool_choice", "logprobs",
                "presence_penalty", "frequency_penalty", "repetition_penalty", "max_new_tokens", "do_sample",
                "return_full_text", "min_length", "max_length", "normalize", "truncate", "dimensions",
                "candidate_labels", "labels", "function_to_apply", "raw_scores", "return_timestamps",
            )
        ),
        ("model_name", r"\bmodel\b"),
    )
)  # fmt: skip

#: Statuses by which firewalls refuse a text, with a web page of their own.
FIREWALL_STATUSES = (403, 405, 406)

BY_STATUS: dict[int, Case] = {
    400: INPUT,
    401: TOKEN,
    402: OUT_OF_CREDITS,
    403: FORBIDDEN,
    404: NOT_FOUND,
    405: Case(ModelNotFound, "this address does not accept requests of this kind", CHECK_ADDRESS),
    406: Case(InvalidInput, "the service cannot respond in the required format", divisible=False),
    407: Case(
        ConnectionFailed,
        "the proxy requires a login",
        "Check HTTP_PROXY and HTTPS_PROXY in the environment of the MindsDB server",
        retryable=False,
    ),
    408: Case(ServiceTimeout, "the service timed out while it waited for the request", NOT_READY),
    410: Case(
        EndpointGone,
        "this address is no longer served",
        f"{CHECK_ADDRESS}; api-inference.huggingface.co is gone: leave base_url out to use its successor",
    ),
    413: Case(
        PayloadTooLarge,
        "the request is larger than the service accepts",
        "Shorten this row's text, for example with LEFT(text, 2000) in a sub-select, or shrink its media; or use a "
        "server that accepts larger requests",
    ),
    414: Case(SettingsError, "the address is longer than the service accepts", CHECK_ADDRESS),
    415: CONTENT_TYPE,
    422: Case(InvalidInput, "the service could not read the request", INPUT.advice),
    423: Case(Unavailable, "the model is locked at the moment", NOT_READY),
    424: Case(Unavailable, "the model behind the service failed", NOT_READY),
    425: Case(Unavailable, "the service is not ready yet", NOT_READY),
    429: OVERLOADED,
    431: Case(SettingsError, "the request's headers are larger than the service accepts", "Shorten bill_to"),
    451: Case(
        Forbidden,
        "the service refused the request for legal reasons",
        "If other rows are answered, change or leave out this row; if no row is answered, choose another model "
        "or provider",
        divisible=True,
        concerns_content=True,
    ),
    498: Case(RateLimited, "the service has no capacity at the moment"),
    499: Case(Unavailable, "the request was cancelled on its way to the model", NOT_READY),
    501: Case(Unavailable, "the service does not support this", "Check task, model_name and endpoint", retryable=False),
    504: GATEWAY,
    511: Case(ConnectionFailed, "the network requires a login", "Check the server's network", retryable=False),
    524: GATEWAY,
}

#: Errors in a response of status 200 that name a type instead of a status: (pattern, the status that it means).
BY_ERROR_TYPE: tuple[tuple[str, int], ...] = (
    (r"loading|scaling|starting", 503),
    (rf"overload|rate.?limit|too many requests|{_RATE}", 429),
    (r"validation|invalid.?request|invalid input|tokenizer", 422),
    (r"credit|quota|billing|balance", 402),
    (r"unauthori|invalid.?token|authentication", 401),
    (r"permission|forbidden|gated", 403),
    (r"not.?found|does not exist|not supported|unexpected endpoint", 404),
)
