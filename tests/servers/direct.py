"""Run the tiny models directly, without a server: the values that a server's answers are compared with.

Runs with the Python of a server, which has transformers and sentence-transformers. Reads from standard input a JSON
list of questions, ``{"task", "model", "rows", "using"}``, in which ``model`` is a folder and ``using`` holds arguments
of CREATE MODEL; writes a list of answers, each a list of one value a row: a text, a vector, a score, or label → score.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import wave
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]
Using = Mapping[str, Any]


def vectors(model: str, rows: Rows, using: Using) -> list[Any]:
    """Vectors, cut to ``dimensions``, and normalized unless ``normalize`` is false."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(model, device="cpu", truncate_dim=using.get("dimensions"))
    return [
        row.tolist()
        for row in loaded.encode([row[0] for row in rows], normalize_embeddings=using.get("normalize", True))
    ]


def ranks(model: str, rows: Rows, using: Using) -> list[Any]:
    """The scores of pairs, between 0 and 1 unless ``raw_scores`` is true."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded, words = AutoModelForSequenceClassification.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    inputs = words(*map(list, zip(*rows, strict=True)), padding=True, truncation=True, return_tensors="pt")
    scores = loaded.eval()(**inputs).logits[:, 0]
    return list((scores if using.get("raw_scores") else scores.sigmoid()).tolist())


def labels(model: str, rows: Rows, using: Using) -> list[Any]:
    """The labels of texts with their scores, best first."""
    from transformers import pipeline

    loaded = pipeline("text-classification", model=model, device="cpu")
    names = [name.strip() for name in using.get("labels", "").split(",") if name.strip()]
    places = loaded.model.config.label2id
    answers = []
    for (text,) in rows:
        found = loaded(text, top_k=None, function_to_apply=using.get("function_to_apply", "softmax"))
        kept = found[: using.get("top_k", len(found))]
        answers.append({names[places[one["label"]]] if names else one["label"]: one["score"] for one in kept})
    return answers


def texts(model: str, rows: Rows, using: Using, *, chat: bool) -> list[Any]:
    """What the model writes after a prompt, or as the answer to the messages of a chat."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    loaded, words = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    answers = []
    for (text,) in rows:
        if chat:
            inputs = words.apply_chat_template(
                messages(text, using), add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            inputs = words(text, return_tensors="pt")
        if using.get("seed") is not None:
            set_seed(using["seed"])
        made = loaded.generate(**inputs, **generation(using, chat=chat), tokenizer=words)
        answers.append(words.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return answers


def transcripts(model: str, rows: Rows, using: Using) -> list[Any]:
    """What Whisper writes of the samples of data URIs, without timestamps."""
    import numpy
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    loaded, reader = WhisperForConditionalGeneration.from_pretrained(model), WhisperProcessor.from_pretrained(model)
    answers = []
    for (uri,) in rows:
        with wave.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as sound:
            heard = numpy.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype("float32") / 32768
        made = loaded.generate(**reader(heard, sampling_rate=16000, return_tensors="pt"))
        answers.append([reader.batch_decode(made, skip_special_tokens=True)[0], {}])
    return answers


def messages(text: str, using: Using) -> list[dict[str, str]]:
    """The messages of a chat: the instruction, the examples, the row's text."""
    found = [{"role": "system", "content": using["system_prompt"]}] if "system_prompt" in using else []
    for one in using.get("examples", ()):
        found += [{"role": "user", "content": one["input"]}, {"role": "assistant", "content": one["output"]}]
    return [*found, {"role": "user", "content": text}]


def generation(using: Using, *, chat: bool) -> dict[str, Any]:
    """The arguments of ``generate``; a completion takes the most likely words unless samples are asked for."""
    longest = next(using[name] for name in ("max_tokens", "max_new_tokens", "max_output_length") if name in using)
    temperature = using.get("temperature", 1.0 if chat or using.get("do_sample") or "top_p" in using else 0)
    found: dict[str, Any] = {"max_new_tokens": longest, "do_sample": temperature > 0}
    if temperature > 0:
        found |= {"temperature": float(temperature), "top_p": using.get("top_p", 1.0)}
        found |= {"top_k": using["top_k"]} if "top_k" in using else {}
    if "min_output_length" in using:
        found["min_new_tokens"] = using["min_output_length"]
    if "repetition_penalty" in using:
        found["repetition_penalty"] = using["repetition_penalty"]
    if "stop" in using:
        found["stop_strings"] = using["stop"]
    if "logit_bias" in using:
        found["sequence_bias"] = {(int(token),): float(bias) for token, bias in using["logit_bias"].items()}
    return found


TASKS: Mapping[str, Callable[[str, Rows, Using], list[Any]]] = {
    "feature-extraction": vectors,
    "text-ranking": ranks,
    "text-classification": labels,
    "automatic-speech-recognition": transcripts,
    "chat-completion": lambda model, rows, using: texts(model, rows, using, chat=True),
    "text-generation": lambda model, rows, using: texts(model, rows, using, chat=False),
}

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answers = [TASKS[one["task"]](one["model"], one["rows"], one["using"]) for one in asked]
    json.dump(answers, sys.stdout)
