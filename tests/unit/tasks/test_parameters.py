"""Parameters: out of the Hub's own types, and out of what SQL can carry."""

from __future__ import annotations

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

from huggingface_api_handler.tasks import TASKS, parameters
from huggingface_api_handler.tasks.parameters import check_parameters, parameter_fields


def checked(task: str, **given_values: Any) -> dict[str, Any]:
    values, faults = check_parameters(TASKS[task], given_values)
    assert not faults
    return values


def faults_of(task: str, **given_values: Any) -> list[str]:
    return check_parameters(TASKS[task], given_values)[1]


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.parameters], ids=lambda task: task.name)
def test_every_type_is_the_hubs(task: Any) -> None:
    import huggingface_hub

    kind = getattr(huggingface_hub, task.parameters)
    hubs = {field.name for field in dataclasses.fields(kind)}
    own = {argument.name for argument in task.arguments} | {one.constant for one in task.inputs}
    fields = parameter_fields(task)
    assert {field.name for field in fields} == hubs - own - {"inputs", "messages", "model", "stream", "stream_options"}
    assert all("any" not in field.kinds for field in fields if field.name not in {"word_boxes"})


def test_fields_say_what_they_mean() -> None:
    field = next(one for one in parameter_fields(TASKS["text-classification"]) if one.name == "function_to_apply")
    assert (field.type, field.choices) == ("text", ("sigmoid", "softmax", "none"))
    assert "scores" in field.meaning
    assert parameter_fields(TASKS["sentence-similarity"]) == ()


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
    ("automatic-speech-recognition", {"return_timestamps": "word"}, {"return_timestamps": "word"}),
    ("automatic-speech-recognition", {"return_timestamps": "true"}, {"return_timestamps": True}),
])  # fmt: skip
def test_values_get_the_types_they_must_have(task: str, given_values: Any, expected: Any) -> None:
    found = checked(task, **given_values)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(("task", "given_values", "fault"), [
    ("text-generation", {"temprature": 1}, "unknown argument 'temprature': did you mean 'temperature'?"),
    ("text-generation", {"§": 1}, "unknown argument '§'"),
    ("text-generation", {"top_k": "many"}, "top_k must be a whole number, not 'many'"),
    ("text-generation", {"top_k": 1.5}, "top_k must be a whole number, not 1.5"),
    ("text-generation", {"top_k": True}, "top_k must be a whole number, not True"),
    ("text-generation", {"seed": 2**63}, "seed must be a whole number, not 9223372036854775808"),
    ("text-generation", {"temperature": "nan"}, "temperature must be a number, not 'nan'"),
    ("text-generation", {"temperature": math.inf}, "temperature must be a number, not inf"),
    ("text-generation", {"do_sample": "maybe"}, "do_sample must be true or false, not 'maybe'"),
    ("text-generation", {"do_sample": 2}, "do_sample must be true or false, not 2"),
    ("text-generation", {"grammar": "json"}, "grammar must be an object, not 'json'"),
    ("text-generation", {"grammar": '{"a": NaN}'}, "grammar must be an object, not '{\"a\": NaN}'"),
    ("text-classification", {"function_to_apply": "relu"},
     "function_to_apply must be one of 'sigmoid', 'softmax', 'none', not 'relu'"),
    ("chat-completion", {"tools": "[1]"}, "tools must be a list, not '[1]'"),
])  # fmt: skip
def test_faults_say_what_is_wrong(task: str, given_values: Any, fault: str) -> None:
    assert faults_of(task, **given_values) == [fault]


def test_all_faults_come_at_once_and_what_is_right_stays() -> None:
    values, faults = check_parameters(TASKS["text-generation"], {"top_k": "x", "seed": 1, "tmp": 2})
    assert (values, len(faults)) == ({"seed": 1}, 2)


def test_unknown_names_pass_where_they_may() -> None:
    values, faults = check_parameters(TASKS["text-generation"], {"num_beams": 4, "top_k": "3"}, keep_unknown=True)
    assert (values, faults) == ({"num_beams": 4, "top_k": 3}, [])


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["-1", "0.5", "true", "[1]", "{}", "1e999", "[" * 50_000, "9" * 5_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(data=st.data(), value=ANY)
def test_any_value_is_taken_or_refused(data: st.DataObject, value: Any) -> None:
    task = data.draw(st.sampled_from([task for task in TASKS.values() if parameter_fields(task)]))
    field = data.draw(st.sampled_from(parameter_fields(task)))
    values, faults = check_parameters(task, {field.name: value})
    assert len(values) + len(faults) == (value is not None)
    for one in values.values():
        if isinstance(one, (int, float)):
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
        parameters._fields.cache_clear()
        mode, sizes, extra = parameter_fields(task)
    assert (mode.type, mode.choices) == ("text", ("fast", "slow"))
    assert (sizes.type, sizes.items, extra.type) == ("list", "integer", "object")
    parameters._fields.cache_clear()
    assert parameter_fields(task) == ()


def test_nothing_heavy_is_imported_with_the_tasks() -> None:
    code = (
        "import sys, huggingface_api_handler.tasks.parameters; "
        "print([name for name in ('huggingface_hub', 'hugging_py_face', 'filetype', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
