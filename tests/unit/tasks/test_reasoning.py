"""The reasoning of a model is taken out of its answer; prose that mentions a tag stays."""

from __future__ import annotations

import pytest

from huggingface_api_handler.tasks.reasoning import Separated, separate

HARMONY = "<|channel|>analysis<|message|>User wants French.<|end|><|start|>assistant<|channel|>final<|message|>Bonjour"


@pytest.mark.parametrize(
    ("content", "answer", "reasoning"),
    [
        ("<think>hm</think>\n\nParis", "Paris", "hm"),
        ("Okay, the user asks. That is Paris.\n</think>\n\nParis", "Paris", "Okay, the user asks. That is Paris."),
        ("That is Paris.</think>Paris", "Paris", "That is Paris."),
        ('thoughts</think>\n\n{"city": "Oslo"}', '{"city": "Oslo"}', "thoughts"),
        ("<thinking>a</thinking>\n<reasoning>b</reasoning>\nHi\n", "Hi\n", "a\n\nb"),
        ("<THINK>a</THINK> Hi", "Hi", "a"),
        ("[THINK]a[/THINK]Hi", "Hi", "a"),
        ("◁think▷a◁/think▷Hi", "Hi", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|>Hi", "Hi", "a"),
        ("Paris\n<think>check</think>\nYes", "Paris\n\nYes", "check"),
        ("<think>\n\n</think>\n\nHi", "Hi", ""),
        ("<think>only</think>", "", "only"),
        (HARMONY, "Bonjour", "User wants French."),
        (HARMONY + "<|return|>", "Bonjour", "User wants French."),
        ("analysisUser wants French.assistantfinalBonjour", "Bonjour", "User wants French."),
    ],
)
def test_reasoning_is_separated(content: str, answer: str, reasoning: str) -> None:
    assert separate(content) == Separated(answer, reasoning)


@pytest.mark.parametrize(
    "content",
    [
        "Paris",
        " say <b>hey</b>\n",
        "Use <think> and </think> around the thoughts.",
        "<think> and </think> are the tags.",
        "The `</think>` tag\nends it.",
        "Models write </think> at the end",
        'Write "<think>" first.\nThen think.',
        "<think> is a tag that some models use.",
        "I think, therefore I am.",
        "analysis of a final",
    ],
)
def test_prose_stays(content: str) -> None:
    assert separate(content) == Separated(content)


@pytest.mark.parametrize(
    "content",
    ["<think>\nLet me consider. The user wants", "<think> Let me", "<|channel|>analysis<|message|>User wants"],
)
def test_reasoning_that_was_cut_is_no_answer(content: str) -> None:
    assert separate(content, cut=True).answer == ""


def test_a_tag_without_end_is_no_answer_either() -> None:
    assert separate("<think>\nLet me").answer == ""
