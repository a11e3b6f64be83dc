"""The doctor's checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from huggingface_api_handler.cli import doctor
from huggingface_api_handler.cli.finding import Finding


@pytest.mark.parametrize(
    ("switch", "level"), [("true", "problem"), ("1", "problem"), ("false", "warning"), (None, "warning")]
)
def test_a_community_handler_of_our_name_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str | None, level: str
) -> None:
    for folder, name in (("huggingface_api_handler", "huggingface_api"), ("other_handler", "other"),
                         ("__old_handler", "huggingface_api"), ("like_handler", "huggingface_api_like")):  # fmt: skip
        (tmp_path / "community_handlers" / folder).mkdir(parents=True)
        init = tmp_path / "community_handlers" / folder / "__init__.py"
        init.write_text(f'from x import y\n\nname = "{name}"\n')
    monkeypatch.delenv("MINDSDB_COMMUNITY_HANDLERS", raising=False)
    if switch is not None:
        monkeypatch.setenv("MINDSDB_COMMUNITY_HANDLERS", switch)
    (finding,) = doctor._find_community_handlers(tmp_path / "community_handlers")
    assert finding.level == level
    assert str(tmp_path / "community_handlers" / "huggingface_api_handler") in finding.found
    assert "MINDSDB_COMMUNITY_HANDLERS" in finding.advice


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("boom")

    checks = [name for name in vars(doctor) if name.startswith("_check_")]
    for name in checks:
        monkeypatch.setattr(doctor, name, broken)
    findings = doctor.doctor()
    assert len(findings) == len(checks) == 7
    assert all(finding.level == "problem" and "boom" in finding.found for finding in findings)
