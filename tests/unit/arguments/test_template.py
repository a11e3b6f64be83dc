"""prompt_template."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.arguments.template import parse_template


def test_columns_are_put_in() -> None:
    template = parse_template("Sum up {{ review }} by {{author}}: {{review}}")
    assert template.columns == ("review", "author")
    assert template.render({"review": "R", "author": "A"}) == "Sum up R by A: R"


def test_one_null_is_nothing_and_all_null_is_null() -> None:
    template = parse_template("{{a}}-{{b}}")
    assert template.render({"a": "1", "b": None}) == "1-"
    assert template.render({"a": None, "b": None}) is None


def test_without_columns_it_is_the_same_for_every_row() -> None:
    assert parse_template("Say {something}").render({}) == "Say {something}"


@pytest.mark.parametrize("text", ["{{a", "a}}", "{{}}", "{{ }}", "{{a}} {{", "{{{{a}}}}", "{{a{b}}"])
def test_broken_templates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unmatched|has no column name"):
        parse_template(text)


@pytest.mark.parametrize("text", ["{{" * 500_000, "{{a}}" * 200_000 + "{{", "{{" + "a" * 999_998, "{" * 999_999])
def test_a_long_one_is_read_at_once(text: str) -> None:
    """As long as a USING may be. Were each '{{' that is left open looked after to the end, it would take hours."""
    began = time.process_time()
    with contextlib.suppress(ValueError):
        parse_template(text)
    assert time.process_time() - began < 20


@given(st.text())
def test_a_cell_is_never_read_as_a_template(cell: str) -> None:
    template = parse_template("<{{a}}|{{b}}>")
    assert template.render({"a": "{{b}}" + cell, "b": "B"}) == "<{{b}}" + cell + "|B>"
