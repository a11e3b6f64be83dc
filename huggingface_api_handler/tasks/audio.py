"""Audio tasks: speech recognition, classification, separation and synthesis."""

from __future__ import annotations

from . import answers, media_answers, samples
from .generation import PROMPT
from .task import Example, Input, Kind, Task
from .text import LABELS

AUDIO = Input("input_column", Kind.AUDIO, "the audio", aliases=("audio_column", "column"))
TONES = ((samples.tone(b"one"),), (samples.tone(b"two", 0.1),))

AUTOMATIC_SPEECH_RECOGNITION = Task(
    name="automatic-speech-recognition",
    answer="the transcript",
    explain="chunks with timestamps, if return_timestamps is set",
    inputs=(AUDIO,),
    parameters="AutomaticSpeechRecognitionParameters",
    decode=media_answers.transcript_answer,
    default_model="openai/whisper-large-v3",
    billed_tokens=("input", "output"),
    example=Example(TONES),
)

AUDIO_CLASSIFICATION = Task(
    name="audio-classification",
    answer="the label with the highest score",
    explain="all returned labels with their scores",
    inputs=(AUDIO,),
    arguments=(LABELS,),
    parameters="AudioClassificationParameters",
    decode=answers.labels_answer,
    default_model="MIT/ast-finetuned-audioset-10-10-0.4593",
    example=Example(TONES),
)

AUDIO_TO_AUDIO = Task(
    name="audio-to-audio",
    large=True,
    answer="JSON list of label and blob (a data URI)",
    inputs=(AUDIO,),
    decode=media_answers.parts_answer,
    default_model="speechbrain/sepformer-wham",
    example=Example(TONES),
)

TEXT_TO_SPEECH = Task(
    name="text-to-speech",
    aliases=("text-to-audio",),
    answer="data URI of the audio, or a file path if output_dir is set",
    makes=Kind.AUDIO,
    explain="media type and size in bytes",
    inputs=(PROMPT,),
    parameters="TextToSpeechParameters",
    decode=media_answers.media_decoder("audio", described=True),
    default_model="hexgrad/Kokoro-82M",
    pipeline_tags=("text-to-audio",),
    example=Example((("Good morning.",), ("The train is late.",))),
)
