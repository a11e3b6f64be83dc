"""Tasks that write text: summaries, translations, continuations, conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import chat
from .answers import text_reader
from .encoders import model_name, options, parameters, texts
from .task import Argument, Arguments, Batching, Call, Dialect, Example, Input, Kind, ModelFacts, Row, Task
from .text import TEXT

PROMPT = Input("input_column", Kind.TEXT, "the prompt", aliases=("column",), template=True)


def lengths(minimum: str | None, maximum: str) -> tuple[Argument, ...]:
    """Return the arguments for lengths of output, which each task's service calls by other names."""
    longest = Argument(
        "max_output_length", "integer", "maximum number of output tokens", aliases=("max_length",), wire=maximum
    )
    if minimum is None:
        return (longest,)
    return Argument("min_output_length", "integer", "minimum number of output tokens", wire=minimum), longest


# --- summarization, translation --------------------------------------------------------------

SUMMARY_LENGTHS = lengths("min_length", "max_length")


def encode_summary(rows: Sequence[Row], args: Arguments) -> Call:
    """Texts, with the lengths where the service looks for them."""
    return Call(inputs=texts(rows), parameters=parameters(args, SUMMARY_LENGTHS), root=options(args))


SUMMARIZATION = Task(
    name="summarization",
    answer="the summary",
    inputs=(TEXT,),
    arguments=SUMMARY_LENGTHS,
    parameters="SummarizationParameters",
    encode=encode_summary,
    read=text_reader("summary_text", "generated_text"),
    travel=Batching.LIST,
    default_model="facebook/bart-large-cnn",
    method="summarization",
    pipeline_tags=("text2text-generation",),
    example=Example(
        (
            ("The tower is 324 metres tall. It was the tallest for 41 years.",),
            ("Bees dance to tell the way. Others follow.",),
        )
    ),
)

LANGUAGES = (
    Argument("lang_input", "text", "source language, in the model's notation: en, en_XX, eng_Latn"),
    Argument("lang_output", "text", "target language, in the model's notation: fr, fr_XX, fra_Latn"),
)


def knows_one_pair(model: ModelFacts) -> bool:
    """Say whether a translation model is made for one pair of languages, and takes no names of them."""
    return "marian" in model.tags or "opus-mt-" in (model.id or "")


def encode_translation(rows: Sequence[Row], args: Arguments) -> Call:
    """Texts, with their languages for models that know several; both or neither, as the service wants it."""
    fields = parameters(args, SUMMARY_LENGTHS)
    source, target = args.values.get("lang_input"), args.values.get("lang_output")
    if source and target and not knows_one_pair(args.model):
        fields = {"src_lang": source, "tgt_lang": target, **fields}
    return Call(inputs=texts(rows), parameters=fields, root=options(args))


TRANSLATION = Task(
    name="translation",
    answer="the translation",
    inputs=(TEXT,),
    arguments=(*LANGUAGES, *SUMMARY_LENGTHS),
    parameters="TranslationParameters",
    encode=encode_translation,
    read=text_reader("translation_text", "generated_text"),
    travel=Batching.LIST,
    default_model="Helsinki-NLP/opus-mt-{lang_input}-{lang_output}",
    method="translation",
    pipeline_tags=("text2text-generation",),
    example=Example((("Good morning",), ("The train is late.",)), {"lang_input": "en", "lang_output": "fr"}),
)

# --- text-generation -------------------------------------------------------------------------

OUTPUT_LENGTHS = lengths("min_new_tokens", "max_new_tokens")

#: Tags of models that read a text and write another; there is no prompt in what they write.
_WRITERS = frozenset({"text2text-generation", "t5", "mt5", "umt5", "bart", "mbart", "pegasus", "led", "longt5"})


def writes_apart(model: ModelFacts) -> bool:
    """Say whether the model writes its output apart from the prompt, and knows no ``return_full_text``."""
    return model.pipeline_tag == "text2text-generation" or not _WRITERS.isdisjoint(model.tags)


#: What OpenAI-compatible servers call the same, or do not know.
_COMPLETIONS = {"max_new_tokens": "max_tokens"}
_NOT_OPENAI = frozenset({"return_full_text", "details", "decoder_input_details", "do_sample", "min_new_tokens"})


def completions_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of text-generation as OpenAI's completions route takes them."""
    return {_COMPLETIONS.get(name, name): value for name, value in fields.items() if name not in _NOT_OPENAI}


def encode_generation(rows: Sequence[Row], args: Arguments) -> Call:
    """Prompts; only what is new is asked for, since some servers repeat the prompt."""
    fields = parameters(args, OUTPUT_LENGTHS)
    fields.pop("stream", None)
    if args.dialect is Dialect.OPENAI:
        return Call(root={**model_name(args), "prompt": texts(rows), **completions_fields(fields)})
    if args.dialect is Dialect.TGI:
        fields = {"details": True, **fields}
    if not writes_apart(args.model):
        fields = {"return_full_text": False, **fields}
    return Call(inputs=texts(rows), parameters=fields, root=options(args))


def generation_samples(args: Arguments) -> bool:
    """Say whether the service draws lots: only where asked to, and with no seed."""
    given = args.parameters
    drawn = given.get("do_sample") or any(given.get(name) for name in ("temperature", "top_p", "typical_p"))
    return bool(drawn) and given.get("seed") is None


TEXT_GENERATION = Task(
    name="text-generation",
    aliases=("text2text-generation",),
    answer="the generated text",
    explain="finish reason and number of tokens, if the service reports them",
    inputs=(PROMPT,),
    arguments=OUTPUT_LENGTHS,
    parameters="TextGenerationInputGenerateParameters",
    encode=encode_generation,
    read=chat.read_generations,
    travel=Batching.LIST,
    alone=frozenset({Dialect.TGI, Dialect.OPENAI}),
    routes={Dialect.OPENAI: "/completions"},
    method="text_generation",
    pipeline_tags=("text2text-generation", "summarization", "translation"),
    samples=generation_samples,
    example=Example((("Once upon a time",), ("The best thing about SQL is",)), {"max_new_tokens": 20}),
)

# --- chat-completion -------------------------------------------------------------------------

CHAT_LENGTHS = lengths(None, "max_tokens")


def chat_samples(args: Arguments) -> bool:
    """Say whether the service draws lots: it does unless told not to."""
    given: Mapping[str, Any] = args.parameters
    return given.get("temperature") != 0 and given.get("seed") is None


CHAT_COMPLETION = Task(
    name="chat-completion",
    aliases=("conversational",),
    answer="the model's reply, which is JSON if response_format asks for it",
    explain="finish reason, tokens used and tool calls",
    inputs=(
        replace(PROMPT, constant="prompt"),
        Input("image_column", Kind.IMAGE, "an image to send with the prompt", required=False),
    ),
    arguments=CHAT_LENGTHS,
    parameters="ChatCompletionInput",
    encode=chat.encode_chat,
    read=chat.read_chat,
    travel=Batching.ONE,
    default_model="meta-llama/Llama-3.1-8B-Instruct",
    pipeline_tags=("text-generation", "image-text-to-text", "conversational"),
    chat=True,
    samples=chat_samples,
    example=Example((("Say hello",), ("Name a colour",))),
)
