"""Tasks that generate text: summarization, translation, text generation, chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import chat
from .answers import text_decoder
from .task import Argument, Arguments, Batching, Example, Input, Kind, Task
from .text import TEXT

PROMPT = Input("input_column", Kind.TEXT, "the prompt", aliases=("column",), template=True)

#: Lengths of output, which each kind of server calls by other names.
LONGEST = Argument("max_output_length", "integer", "maximum number of output tokens", aliases=("max_length",))
LENGTHS = (Argument("min_output_length", "integer", "minimum number of output tokens"), LONGEST)


# --- summarization, translation --------------------------------------------------------------

SUMMARIZATION = Task(
    name="summarization",
    answer="the summary",
    inputs=(TEXT,),
    arguments=LENGTHS,
    parameters="SummarizationParameters",
    decode=text_decoder("summary_text", "generated_text"),
    batching=Batching.LIST,
    default_model="facebook/bart-large-cnn",
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


TRANSLATION = Task(
    name="translation",
    answer="the translation",
    inputs=(TEXT,),
    arguments=(*LANGUAGES, *LENGTHS),
    parameters="TranslationParameters",
    decode=text_decoder("translation_text", "generated_text"),
    batching=Batching.LIST,
    default_model="Helsinki-NLP/opus-mt-{lang_input}-{lang_output}",
    pipeline_tags=("text2text-generation",),
    example=Example((("Good morning",), ("The train is late.",)), {"lang_input": "en", "lang_output": "fr"}),
)

# --- text-generation -------------------------------------------------------------------------


#: Arguments by which a user asks for samples; without one the most likely text is wanted.
SAMPLING = ("temperature", "top_k", "top_p", "typical_p")


def generation_samples(args: Arguments) -> bool:
    """Return whether the service samples: only if an argument requests it, and no seed is given."""
    given = args.parameters
    drawn = given.get("do_sample") or any(given.get(name) for name in SAMPLING)
    return bool(drawn) and given.get("seed") is None


TEXT_GENERATION = Task(
    name="text-generation",
    aliases=("text2text-generation",),
    answer="the generated text",
    explain="finish reason and number of tokens, if the service reports them",
    inputs=(PROMPT,),
    arguments=LENGTHS,
    parameters="TextGenerationInputGenerateParameters",
    decode=chat.generation_answer,
    batching=Batching.LIST,
    pipeline_tags=("text2text-generation", "summarization", "translation"),
    samples=generation_samples,
    billed_tokens=("input", "output"),
    example=Example((("Once upon a time",), ("The best thing about SQL is",)), {"max_new_tokens": 20}),
)

# --- chat-completion -------------------------------------------------------------------------


def chat_samples(args: Arguments) -> bool:
    """Return whether the service samples: it does unless do_sample is false."""
    given: Mapping[str, Any] = args.parameters
    return given.get("temperature") != 0 and given.get("seed") is None


CHAT_COMPLETION = Task(
    name="chat-completion",
    aliases=("conversational",),
    answer="the model's answer, which is JSON if response_format requests it",
    explain="finish reason, tokens used, tool calls, and the model's reasoning, if any",
    inputs=(
        replace(PROMPT, constant="prompt"),
        Input("image_column", Kind.IMAGE, "an image to send with the prompt", required=False),
    ),
    arguments=(LONGEST,),
    parameters="ChatCompletionInput",
    decode=chat.chat_answer,
    default_model="meta-llama/Llama-3.1-8B-Instruct",
    pipeline_tags=("text-generation", "image-text-to-text", "conversational"),
    chat=True,
    samples=chat_samples,
    billed_tokens=("input", "output"),
    example=Example((("Say hello",), ("Name a colour",))),
)
