"""Parameters of tasks: from the Hub's own types, with the values that SQL can carry."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import subprocess
import sys
from typing import Any, Literal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.arguments import (
    EngineSettings,
    engine_settings,
    model_settings,
    query_command,
    query_settings,
    task_specs,
)
from huggingface_api_handler.arguments.coercion import BadValue, read_value
from huggingface_api_handler.arguments.task_specs import parameter_specs
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.tasks import TASKS


class Identifier:
    """A word without quotes, as MindsDB's parser passes it."""

    def __init__(self, word: str) -> None:
        self.parts = [word]


def checked(task: str, **given_values: Any) -> dict[str, Any]:
    """Return the parameters of a model that is created with ``given_values``."""
    needed = {one.argument: one.argument for one in TASKS[task].inputs if one.required}
    needed |= {one.name: TASKS[task].example.using[one.name] for one in TASKS[task].arguments if one.required}
    using = {"task": task, "model_name": "org/name", **needed, **given_values}
    return dict(model_settings(using, EngineSettings(), hub=lambda model, token: None).parameters)


def fault_of(task: str, **given_values: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        checked(task, **given_values)
    return str(refused.value)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.parameters], ids=lambda task: task.name)
def test_every_type_is_the_hubs(task: Any) -> None:
    import huggingface_hub

    kind = getattr(huggingface_hub, task.parameters)
    hubs = {field.name for field in dataclasses.fields(kind)}
    own = {argument.name for argument in task.arguments} | {one.constant for one in task.inputs}
    fields = parameter_specs(task)
    assert {field.name for field in fields} == hubs - own - {"inputs", "messages", "model", "stream", "stream_options"}
    assert all("any" not in field.type for field in fields if field.name not in {"word_boxes"})


def test_fields_say_what_they_mean() -> None:
    field = next(one for one in parameter_specs(TASKS["text-classification"]) if one.name == "function_to_apply")
    assert (field.type, field.choices) == ("text", ("sigmoid", "softmax", "none"))
    assert "scores" in field.meaning
    assert parameter_specs(TASKS["sentence-similarity"]) == ()


@pytest.mark.parametrize(("task", "given_values", "expected"), [
    ("text-generation", {"top_k": "-1"}, {"top_k": -1}),
    ("text-generation", {"top_k": 3.0, "seed": "7 "}, {"top_k": 3, "seed": 7}),
    ("text-generation", {"temperature": "0.5", "top_p": "1e-3"}, {"temperature": 0.5, "top_p": 0.001}),
    ("text-generation", {"temperature": 1}, {"temperature": 1}),
    ("text-generation", {"do_sample": "TRUE", "watermark": 0}, {"do_sample": True, "watermark": False}),
    ("text-generation", {"stop": '["a", "b,c"]'}, {"stop": ["a", "b,c"]}),
    ("text-generation", {"stop": "a, b"}, {"stop": ["a", "b"]}),
    ("text-generation", {"stop": ("a",)}, {"stop": ["a"]}),
    ("text-generation", {"grammar": '{"type": "json"}'}, {"grammar": {"type": "json"}}),
    ("text-generation", {"Temperature": None, "SEED": 1}, {"seed": 1}),
    ("text-classification", {"function_to_apply": "Softmax"}, {"function_to_apply": "softmax"}),
    ("chat-completion", {"tool_choice": "auto"}, {"tool_choice": "auto"}),
    ("chat-completion", {"tool_choice": '{"function": {"name": "f"}}'}, {"tool_choice": {"function": {"name": "f"}}}),
    ("chat-completion", {"tools": '[{"type": "function"}]'}, {"tools": [{"type": "function"}]}),
    ("chat-completion", {"logit_bias": '{"50256": -100}'}, {"logit_bias": {"50256": -100}}),
    ("automatic-speech-recognition", {"return_timestamps": "word"}, {"return_timestamps": "word"}),
    ("automatic-speech-recognition", {"return_timestamps": "Char"}, {"return_timestamps": "char"}),
    ("automatic-speech-recognition", {"return_timestamps": "true"}, {"return_timestamps": True}),
    ("automatic-speech-recognition", {"return_timestamps": "yes"}, {"return_timestamps": True}),
    ("text-generation", {"do_sample": "yes", "watermark": "off"}, {"do_sample": True, "watermark": False}),
    ("text-generation", {"stop": ["\n", " END"]}, {"stop": ["\n", " END"]}),
    ("token-classification", {"ignore_labels": []}, {"ignore_labels": []}),
    ("text-classification", {"top_k": "2"}, {"top_k": 2}),
    ("text-classification", {"parameters": {"Top_K": "2"}}, {"top_k": 2}),
])  # fmt: skip
def test_values_get_the_types_they_must_have(task: str, given_values: Any, expected: Any) -> None:
    found = checked(task, **given_values)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


LESS_THAN_ONE = "top_k must be a whole number of at least 1, not"


@pytest.mark.parametrize(("task", "given_values", "fault"), [
    ("text-generation", {"temprature": 1}, "unknown argument 'temprature': did you mean 'temperature'?"),
    ("text-generation", {"top_k": "many"}, "top_k must be a whole number, not 'many': write top_k = 3"),
    ("text-generation", {"top_k": 1.5}, "top_k must be a whole number, not 1.5: write top_k = 3"),
    ("text-generation", {"top_k": True}, "top_k must be a whole number, not true: write top_k = 3"),
    ("text-generation", {"seed": 2**63}, "seed must be a number that fits into 64 bits: write seed = 100"),
    ("text-generation", {"temperature": "nan"},
     "temperature must be a number of at least 0, not 'nan': write temperature = 0.5"),
    ("text-generation", {"temperature": math.inf}, "temperature must be a finite number: write temperature = 0.5"),
    ("text-generation", {"temperature": -1},
     "temperature must be a number of at least 0, not -1: write temperature = 0.5"),
    ("text-generation", {"top_p": 1.5}, "top_p must be a number from 0 to 1, not 1.5: write top_p = 0.5"),
    ("text-generation", {"do_sample": "maybe"},
     "do_sample must be true or false, not 'maybe': write do_sample = true"),
    ("text-generation", {"do_sample": 2}, "do_sample must be true or false, not 2: write do_sample = true"),
    ("text-generation", {"grammar": "json"}, "grammar must be an object, or JSON text of one, not 'json'"),
    ("text-generation", {"grammar": '{"a": NaN}'},
     "grammar contains a number that is not finite, or does not fit into 64 bits"),
    ("text-classification", {"function_to_apply": "relu"},
     "function_to_apply must be one of 'sigmoid', 'softmax', 'none', not 'relu': write function_to_apply = 'sigmoid'"),
    ("automatic-speech-recognition", {"return_timestamps": "letter"},
     "return_timestamps must be true or false, or 'word' or 'char', not 'letter': write return_timestamps = 'word'"),
    ("chat-completion", {"logit_bias": [1.5]}, "logit_bias must be an object, or JSON text of one, not a list"),
    ("chat-completion", {"tools": "[1]"},
     "tools has an item that must be an object, or JSON text of one, not 1"),
    # top_k counts results here: a count below 1 would be ignored
    ("text-classification", {"top_k": 0}, f"{LESS_THAN_ONE} 0: write top_k = 3"),
    ("text-classification", {"top_k": "-1"}, f"{LESS_THAN_ONE} '-1': write top_k = 3"),
    ("fill-mask", {"parameters": {"top_k": 0}}, f"{LESS_THAN_ONE} 0: write top_k = 3"),
    ("image-classification", {"top_k": 0.0}, f"{LESS_THAN_ONE} 0.0: write top_k = 3"),
    ("question-answering", {"max_answer_len": 0},
     "max_answer_len must be a whole number of at least 1, not 0: write max_answer_len = 100"),
    ("object-detection", {"threshold": 50}, "threshold must be a number from 0 to 1, not 50: write threshold = 0.5"),
    ("feature-extraction", {"dimensions": 0},
     "dimensions must be a whole number of at least 1, not 0: write dimensions = 100"),
])  # fmt: skip
def test_faults_say_what_is_wrong(task: str, given_values: Any, fault: str) -> None:
    assert fault_of(task, **given_values) == fault


def test_all_faults_come_at_once() -> None:
    assert fault_of("text-generation", top_k="x", seed="y") == (
        "top_k must be a whole number, not 'x': write top_k = 3; seed must be a whole number, not 'y': write seed = 100"
    )


def test_unknown_parameters_are_accepted_inside_parameters_alone() -> None:
    found = checked("text-generation", parameters={"num_beams": 4, "top_k": "3"})
    assert found == {"num_beams": 4, "top_k": 3}
    assert fault_of("text-generation", num_beams=4).startswith("unknown argument 'num_beams'")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["-1", "0.5", "true", "[1]", "{}", "1e999", "[" * 50_000, "9" * 5_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(data=st.data(), value=ANY)
def test_any_value_is_taken_or_refused(data: st.DataObject, value: Any) -> None:
    task = data.draw(st.sampled_from([task for task in TASKS.values() if parameter_specs(task)]))
    field = data.draw(st.sampled_from(parameter_specs(task)))
    with contextlib.suppress(BadValue):
        one = read_value(field, value)
        json.dumps(one, allow_nan=False)
        assert not isinstance(one, int) or -(2**63) <= one < 2**63


def test_later_types_of_the_hub_are_read_alike() -> None:
    import huggingface_hub

    @dataclasses.dataclass
    class LaterParameters:
        """Not there yet."""

        mode: Literal["fast", "slow"] | None = None
        """How to go."""
        sizes: list[int] | None = None
        extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    task = dataclasses.replace(TASKS["text-classification"], parameters="LaterParameters", arguments=())
    with mock.patch.object(huggingface_hub, "LaterParameters", LaterParameters, create=True):
        task_specs._specs_of.cache_clear()
        mode, sizes, extra = parameter_specs(task)
    assert (mode.type, mode.choices) == ("text", ("fast", "slow"))
    assert (sizes.type, sizes.items, extra.type) == ("list", "integer", "object")
    task_specs._specs_of.cache_clear()
    assert parameter_specs(task) == ()


def test_nothing_heavy_is_imported_with_the_tasks() -> None:
    code = (
        "import sys, huggingface_api_handler.tasks, huggingface_api_handler.arguments; "
        "print([name for name in ('huggingface_hub', 'hugging_py_face', 'filetype', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_stop_is_a_command_if_it_is_true_or_false_and_else_a_parameter() -> None:
    engine = engine_settings({}, environ={})
    chat = model_settings({"task": "chat-completion", "column": "text"}, engine, hub=lambda *_: None)
    task = TASKS["chat-completion"]
    for value, command, parameter in (
        (True, "stop", None), ("true", "stop", None), (" True", "stop", None), (False, None, None),
        ("END", None, ["END"]), (["true"], None, ["true"]), (["yes"], None, ["yes"]),
        (1, "stop", None), (Identifier("yes"), "stop", None), (0, None, None), ("false", None, None),
    ):  # fmt: skip
        using = {"stop": value}
        assert query_command(task, using) == command
        assert query_settings(chat, engine, using).parameters.get("stop") == parameter
    for value in ("yes", "On", "1", "no", "off", "0"):
        with pytest.raises(SettingsError) as refused:
            query_settings(chat, engine, {"stop": value})
        assert str(refused.value) == (
            f"stop = '{value}' is ambiguous: write stop = true to stop the running queries of this model, or stop = "
            f"['{value}'] for a text that ends the answer"
        )
        assert query_command(TASKS["text-classification"], {"stop": value}) == (
            "stop" if value in ("yes", "On", "1") else None
        )
    assert query_command(task, {"M.Stop": True, "timeout": 3}, alias="m") == "stop"
    assert query_command(task, {"timeout": 3}) is None
