"""The reasoning of a model is taken out of its answer; prose that mentions a tag stays."""

from __future__ import annotations

import pytest

from huggingface_api_handler.tasks.reasoning import Separated, separate

HARMONY = "<|channel|>analysis<|message|>User wants French.<|end|><|start|>assistant<|channel|>final<|message|>Bonjour"


@pytest.mark.parametrize(
    ("content", "answer", "reasoning"),
    [
        ("<think>hm</think>\n\nParis", "Paris", "hm"),
        ("<think>\n```\ncode\n</think>\n\n```\nParis\n```", "```\nParis\n```", "```\ncode"),
        ("Try:\n```\ncode\n```\nSo.\n</think>\n\nParis", "Paris", "Try:\n```\ncode\n```\nSo."),
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
        ("<think>hm</think>\n<analysis>Up.</analysis>", "<analysis>Up.</analysis>", "hm"),
        (HARMONY, "Bonjour", "User wants French."),
        (HARMONY + "<|return|>", "Bonjour", "User wants French."),
        ("analysisUser wants French.assistantfinalBonjour", "Bonjour", "User wants French."),
        ("assistantanalysisUser wants French.assistantfinalBonjour", "Bonjour", "User wants French."),
        ("analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Paris", "Paris", "hm"),
        ("<|channel>thought\nhm\n<channel|>Paris", "Paris", "hm"),
        ("<|channel>thought\n<channel|>Paris", "Paris", ""),
        ("<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>", "Paris", "hm"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\nHi\n<|end_of_solution|>", "Hi", "a"),
        ("<think>\nhm\n</think>\n<answer>\nParis\n</answer>", "Paris", "hm"),
        ("<think>\nhm\n</think>\n\n<response>\nParis\n</response>\n", "Paris", "hm"),
        ("<think>\nhm\n</think>\n<answer>\nPar", "Par", "hm"),
        ("Here is my thought process:\nhm\nHere is my response:\nParis", "Paris", "hm"),
        ("Here's my thought process: hm Here's my response: Paris", "Paris", "hm"),
        ("Here are my reasoning steps:\nhm\n[BEGIN FINAL RESPONSE]\nParis\n[END FINAL RESPONSE]", "Paris", "hm"),
        ("<seed:think>hm</seed:think>Paris", "Paris", "hm"),
        ("<mm:think>hm</mm:think>Paris", "Paris", "hm"),
        ("<思考>hm</思考>Paris", "Paris", "hm"),
        ("<inner_monologue>hm</inner_monologue>Paris", "Paris", "hm"),
        ("<REASONING_SCRATCHPAD>hm</REASONING_SCRATCHPAD>\nParis", "Paris", "hm"),
        ('<think duration="3">hm</think>Paris', "Paris", "hm"),
        ("<|think|>hm<|/think|>Paris", "Paris", "hm"),
        ("<think>a<think>b</think>c</think>Paris", "Paris", "a<think>b</think>c"),
        ("<think>\n<think>\na</think>\nParis", "Paris", "<think>\na"),
        ("<think>a</think>\n</think>\nParis", "Paris", "a"),
        ("hm</think>\nmore</think>\nParis", "Paris", "hm\n\nmore"),
        ("<think>hm</thinking>Paris", "Paris", "hm"),
        ("<think>a</thought>b</think>Paris", "Paris", "a</thought>b"),
        ("◁think▷hm</think>Paris", "Paris", "hm"),
        ("<think>The `</think>` tag</think>Paris", "Paris", "The `</think>` tag"),
        ('So "Paris"</think>\n\nParis', "Paris", 'So "Paris"'),
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
        "analysis: the final",
        "Here is my thought process: none",
        "<answer>\nParis\n</answer>",
        "Write this:\n\n```xml\n<think>\nsteps\n</think>\nanswer\n```\n\nThen parse it.",
        "It ends with:\n```\n</think>\n```\nNothing else.",
        "<sentiment_analysis>good</sentiment_analysis>\n<summary>x</summary>",
        "a <channel|> b",
        "[Analysis]\nSales rose.",
        "[Reasoning]\n1. It rains.\n[Conclusion]\nStay.",
        "[Thoughts]\nGood soup.",
        "<analysis>\nSales rose.\n</analysis>",
        "<reflection>The lake was still.</reflection>",
    ],
)
def test_prose_stays(content: str) -> None:
    assert separate(content) == Separated(content)


@pytest.mark.parametrize(
    "content",
    [
        "<think>\nLet me consider. The user wants",
        "<think> Let me",
        "<|channel|>analysis<|message|>User wants",
        "analysisUser wants",
        "analysis用户想要",
        "<|channel>thought\nUser wants",
        "Here is my thought process:\nUser wants",
    ],
)
def test_reasoning_that_was_cut_is_no_answer(content: str) -> None:
    assert separate(content, cut=True).answer == ""


@pytest.mark.parametrize("content", ["[Analysis]\nSales", "analysis of sales: up", "commentary: fine", "analysis.\nUp"])
def test_prose_that_was_cut_stays(content: str) -> None:
    assert separate(content, cut=True) == Separated(content)


def test_an_answer_with_tags_that_the_user_asked_for_keeps_them() -> None:
    assert separate("<think>hm</think><answer>Paris</answer>").answer == "<answer>Paris</answer>"


def test_many_tags_take_little_time() -> None:
    """Each block looks at a bounded number of tags, so the work grows with the length alone."""
    assert separate("<think>" * 20_000).answer == ""
    assert separate("<think>a</think>\n" * 500 + "Paris").answer == "Paris"
    assert separate("<think>\na</think>\n" * 20_000 + "Paris").answer == "Paris"


def test_much_white_space_takes_little_time() -> None:
    """Models that go astray write nothing else, up to the limit of tokens."""
    assert separate("<think>a</think><answer>\n" + " \n" * 200_000 + "x").answer == "x"
    assert separate("<think>a</think><answer>\nx" + "\n" * 200_000).answer == "x"
    assert separate("<think>a</think><answer>\nx</output>").answer == "x</output>"


def test_a_tag_without_end_is_no_answer_either() -> None:
    assert separate("<think>\nLet me").answer == ""
