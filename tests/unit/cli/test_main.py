"""The command line: its commands, its help and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from huggingface_api_handler.cli import link, main
from huggingface_api_handler.cli.finding import Finding


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["reinstall"], "invalid choice: 'reinstall'"),
        (["install", "twice"], "unrecognized arguments: twice"),
        (["consumer", "--tasks", "0"], "argument --tasks: at least 1"),
        (["consumer", "--tasks", "many"], "argument --tasks: invalid"),
    ],
)
def test_an_invalid_command_line_ends_with_2(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == 2
    assert error in capsys.readouterr().err


def test_help_lists_every_command_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("usage: python -m huggingface_api_handler [-h] COMMAND ...")
    for name, command in main.COMMANDS.items():
        assert f" {name} {command.HELP}" in shown


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m huggingface_api_handler {name} ")


def test_install_and_uninstall_print_what_they_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> list[str]:
        raise link.InstallError("something is in the way")

    monkeypatch.setattr(link, "install", lambda: ["one", "two"])
    monkeypatch.setattr(link, "uninstall", refuse)
    assert main.main(["install"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert main.main(["uninstall"]) == 1
    assert capsys.readouterr().err == "not done: something is in the way\n"


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_the_doctor_prints_its_findings_without_the_token(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "hf_" + "a" * 34
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_api_handler.cli.doctor.doctor", lambda: [Finding(level, "token", token, "do")])
    monkeypatch.setattr("huggingface_api_handler.cli.doctor.logging", SimpleNamespace(WARNING=0, disable=int))
    assert main.main(["doctor"]) == code
    printed = capsys.readouterr().out
    assert "token: " in printed and "→ do" in printed
    assert token not in printed


def test_a_reader_that_has_enough_is_no_error() -> None:
    program = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from huggingface_api_handler.cli import main\n"
        "main.COMMANDS = {'many': SimpleNamespace(\n"
        "    HELP='', add_arguments=lambda parser: None, run=lambda given: print('line\\n' * 100_000) or 0\n"
        ")}\n"
        "sys.exit(main.main(['many']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0
