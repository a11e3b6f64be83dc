"""What this package reads of MindsDB's settings and context."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
from mindsdb.utilities.context import context

from huggingface_api_handler.host.settings import tenant


@pytest.mark.parametrize("nobody", [(None, None), (None, 0), ("", 0)])
def test_every_protocol_works_for_the_same_tenant_if_nobody_is_named(nobody: tuple[Any, Any]) -> None:
    """Before 26.0, HTTP names user 0 and MySQL none: a query over one was not stopped over the other."""

    def named(company: Any, user: Any) -> tuple[Any, Any]:
        context.company_id, context.user_id = company, user
        return tenant()

    within = contextvars.copy_context().run
    assert within(named, *nobody) == (None, None)
    assert within(named, "acme", 7) == ("acme", 7)
