"""A user who may create models and queries, but does not own the engine, tries every argument there is.

They want the engine's token, or what stands beside the server. Listeners on loopback count.
"""

from __future__ import annotations

import base64
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.creation_args import creation_args
from huggingface_api_handler.model_using_args import model_using_args
from huggingface_api_handler.sandbox.mindsdb_server import SQLError
from tests.unit.loopback import Loopback, answer

from .conftest import World

KEY = "hf_" + "ownersKey" * 4
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 40
PLANTED = PNG + b"planted-in-the-servers-files" * 4
CUSTOMER = "https://abc.eu-west-1.aws.endpoints.huggingface.cloud"


@pytest.fixture(scope="module")
def trap() -> Iterator[Loopback]:
    """Answers whatever would please; nothing may ask it."""
    with Loopback(answer([{"label": "TRAPPED", "score": 1.0}])) as one:
        yield one


@pytest.fixture(scope="module")
def owned(world: World) -> Iterator[World]:
    """An engine of somebody else's, and a model of theirs for each kind of input."""
    world.sql(f"CREATE ML_ENGINE owned FROM huggingface_api USING api_key = '{KEY}'")
    world.model("CREATE MODEL reads PREDICT a USING engine = 'owned', task = 'text-classification', column = 't'")
    world.model("CREATE MODEL sees PREDICT a USING engine = 'owned', task = 'image-classification', column = 'u'")
    world.model("CREATE MODEL paints PREDICT a USING engine = 'owned', task = 'text-to-image', column = 't'")
    yield world
    for name in ("reads", "sees", "paints"):
        world.sql(f"DROP MODEL {name}")
    world.sql("DROP ML_ENGINE owned")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inside") / "secret.png"
    path.write_bytes(PLANTED)
    return path


def tried(world: World, statement: str) -> str:
    """Run a statement; return what it says, whether it worked or not."""
    try:
        return str(world.sql(statement).rows)
    except SQLError as error:
        return str(error)


def attempt(world: World, using: str, task: str = "text-classification", ask: str = "I love it") -> str:
    """Create a model with further arguments and, where that works, ask it; return all that was said."""
    try:
        world.sql(f"CREATE MODEL intruder PREDICT a USING engine = 'owned', task = '{task}', {using}")
    except SQLError as error:
        return str(error)
    try:
        world.server.wait_for_model("intruder", timeout=60)
        return tried(world, f"SELECT a FROM intruder WHERE t = '{ask}' USING timeout = 5, max_retries = 0")
    except SQLError as error:
        return str(error)
    finally:
        world.sql("DROP MODEL intruder")


def refused(world: World, using: str) -> str:
    with pytest.raises(SQLError) as caught:
        world.sql(
            "CREATE MODEL intruder PREDICT a USING engine = 'owned', task = 'text-classification', column = 't', "
            + using
        )
    return str(caught.value)


def owners_requests(world: World) -> list[Any]:
    """Return the requests that carried the engine's token."""
    return [entry for entry in world.sandbox.requests if entry.token == world.sandbox.fingerprint(KEY)]


def addresses(trap: Loopback) -> list[str]:
    port = trap.port
    decimal = int.from_bytes(socket.inet_aton("127.0.0.1"), "big")
    return [
        f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://127.1:{port}/", f"http://{decimal}:{port}/",
        f"http://0x7f000001:{port}/", f"http://0177.0.0.1:{port}/", f"http://[::1]:{port}/", f"http://0.0.0.0:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/", f"http://router.huggingface.co@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}\\@router.huggingface.co/", f"http://127.0.0.1:{port}/#router.huggingface.co",
        f"http://①②⑦.0.0.1:{port}/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
        "https://evil.example/", "https://router.huggingface.co.evil.example/", "file:///etc/passwd",
        f"gopher://127.0.0.1:{port}/_", "https://huggingface.co/api/repos/create?x=",
        "https://huggingface.co/api/repos/move",
        CUSTOMER, f"{CUSTOMER}/v1/chat/completions",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["endpoint", "base_url"])
def test_no_address_is_taken(owned: World, trap: Loopback, name: str) -> None:
    for url in addresses(trap):
        text = refused(owned, f"{name} = '{url}'")
        assert name in text.splitlines()[0], url
        assert KEY not in text
    assert trap.connections == 0


def test_their_own_endpoint_gets_only_a_key_of_their_own(owned: World) -> None:
    assert "the engine's token is not sent there" in refused(owned, f"endpoint = '{CUSTOMER}'")
    assert "the engine's token is not sent there" in refused(owned, f"base_url = '{CUSTOMER}'")
    own = "hf_" + "theirOwn" * 4
    owned.sql(
        "CREATE MODEL theirs PREDICT a USING engine = 'owned', task = 'text-classification', column = 't', "
        f"endpoint = '{CUSTOMER}', api_key = '{own}'"
    )
    owned.server.wait_for_model("theirs")
    # Taking the key away again leaves an address that the engine's token does not go to.
    said = tried(owned, f"RETRAIN theirs USING task = 'text-classification', column = 't', endpoint = '{CUSTOMER}'")
    assert "the engine's token is not sent there" in said
    owned.sql("DROP MODEL theirs")


def retrained(world: World, statement: str) -> str:
    """Run a RETRAIN and wait for its end; return all that was said. MindsDB goes on with the old version meanwhile."""
    said = tried(world, statement)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        versions = world.sql("SELECT status, error FROM mindsdb.models WHERE name = 'alices'").rows
        if all(version[0] in ("complete", "error") for version in versions):
            # The version that is to be asked is changed in two steps after that.
            time.sleep(0.5)
            return said + str(versions)
        time.sleep(0.2)
    raise AssertionError(f"not retrained within a minute: {said}")


@pytest.mark.parametrize("how", ["their engine", "their endpoint", "their endpoint, twice"])
def test_a_models_own_key_goes_nowhere_else_by_retrain(owned: World, trap: Loopback, how: str) -> None:
    """RETRAIN hands the masked key on: whoever may retrain a model need not be who gave it its key."""
    key, bobs = "hf_" + "alicesOwn" * 4, "hf_" + "bobsOwn" * 4
    common = "task = 'text-classification', column = 't', timeout = 5, max_retries = 0"
    owned.model(f"CREATE MODEL alices PREDICT a USING engine = 'owned', {common}, api_key = '{key}'")
    owned.sql(f"CREATE ML_ENGINE bobs FROM huggingface_api USING base_url = '{trap.url}', api_key = '{bobs}'")
    before = len(trap.heard)
    trap.speak = answer([{"label": "TRAPPED", "score": 1.0}])
    to = "engine = 'bobs'" if how == "their engine" else f"endpoint = '{CUSTOMER}'"
    try:
        said = ""
        for _ in range(2 if how.endswith("twice") else 1):
            said += retrained(owned, f"RETRAIN alices USING {to}, {common}, api_key = '******'")
        tried(owned, "SELECT a FROM alices WHERE t = 'I love it'")
        assert [one for one in trap.heard[before:] if key in str(one.headers)] == []
        assert "belongs to another" in said
        # Where it was given for, it stays.
        retrained(owned, f"RETRAIN alices USING engine = 'owned', {common}, api_key = '******'")
        owned.sandbox.reset()
        owned.sql("SELECT a FROM alices WHERE t = 'I love my own'")
        assert {one.token for one in owned.sandbox.inference_requests()} == {owned.sandbox.fingerprint(key)}
    finally:
        tried(owned, "DROP MODEL alices")
        tried(owned, "DROP ML_ENGINE bobs")


@pytest.mark.parametrize("level", ["model", "query"])
def test_no_argument_of_an_engine_is_taken_from_anybody_else(owned: World, trap: Loopback, level: str) -> None:
    values = {
        "allowed_hosts": f"'127.0.0.1:{trap.port}'", "media_roots": "'/'", "bill_to": "'somebody-else'",
        "base_url": f"'{trap.url}'", "api_key": "'hf_" + "other" * 7 + "'",
    }  # fmt: skip
    for name in creation_args:
        if name not in values:
            continue
        if level == "query":
            with pytest.raises(SQLError) as caught:
                owned.sql(f"SELECT a FROM reads WHERE t = 'x' USING {name} = {values[name]}")
            assert name in str(caught.value).splitlines()[0]
        elif name not in model_using_args:
            assert name in refused(owned, f"{name} = {values[name]}").splitlines()[0]
    assert trap.connections == 0


@pytest.mark.parametrize(
    "name",
    ["endpoint", "base_url", "provider", "model_name", "model", "task", "engine", "api_key", "huggingface_api_api_key",
     "allowed_hosts", "media_roots", "bill_to", "hf_endpoint", "HF_ENDPOINT", "proxy", "proxies", "http_proxy", "url",
     "host", "headers", "token", "hub_url", "ca_bundle", "verify", "cookies", "endpoint_url", "api_base",
     "callback_url",
     "webhook", "reads.endpoint", "m.base_url", "output_dir", "timeout_url"],
)  # fmt: skip
def test_a_query_redirects_nothing(owned: World, trap: Loopback, name: str) -> None:
    owned.sandbox.reset()
    said = tried(owned, f"SELECT a FROM reads WHERE t = 'I love {name}' USING {name} = '{trap.url}/x'")
    assert "TRAPPED" not in said
    assert KEY not in said
    assert trap.connections == 0
    assert {entry.token for entry in owned.sandbox.inference_requests()} <= {owned.sandbox.fingerprint(KEY)}


def test_no_other_argument_leads_away(owned: World, trap: Loopback) -> None:
    """Everything that a model takes, and much that others take, filled with the trap's address."""
    url = trap.url
    for using in (
        *(f"{name} = '{url}/'" for name in model_using_args if name not in ("api_key", "huggingface_api_api_key")),
        *(f"{name} = '{url}'" for name in ("hf_endpoint", "proxy", "headers", "hub_url", "url", "webhook", "callback")),
        f"parameters = {{\"endpoint\": \"{url}\", \"base_url\": \"{url}\", \"url\": \"{url}\", \"model\": \"{url}\"}}",
        f"parameters = {{\"headers\": {{\"Host\": \"127.0.0.1:{trap.port}\", \"X-Forwarded-Host\": \"127.0.0.1\"}}}}",
        f"options = {{\"endpoint\": \"{url}\", \"proxies\": {{\"https\": \"{url}\"}}, \"base_url\": \"{url}\"}}",
        f"options = {{\"api_key\": \"x\", \"allowed_hosts\": [\"127.0.0.1:{trap.port}\"]}}",
        f"labels = '{url},{url}/2'",
        "model_name = '../../../v1/chat/completions'", "model_name = 'org/..%2f..%2fapi'",
        "model_name = 'org/name?x=y'",
        f"model_name = '{url}/org/name'", "model_name = 'org/name#x'", "model_name = 'org/name\\r\\nX-Evil: 1'",
        f"model_name = '@127.0.0.1:{trap.port}/x'", "model_name = 'org/name:together'",
        f"provider = '../..@127.0.0.1:{trap.port}'", "provider = 'together/../../api'",
        "provider = 'hf-inference\\r\\nX: y'",
    ):  # fmt: skip
        said = attempt(owned, f"column = 't', {using}")
        assert "TRAPPED" not in said, using
        assert KEY not in said, using
        assert trap.connections == 0, using


@pytest.mark.parametrize("task", ["chat-completion", "text-generation", "zero-shot-classification"])
def test_nor_in_tasks_with_templates_labels_and_prompts(owned: World, trap: Loopback, task: str) -> None:
    labels = (
        f"candidate_labels = '{trap.url}, b'"
        if task.startswith("zero")
        else f"prompt_template = '{trap.url} {{{{t}}}}'"
    )
    for using in (
        labels,
        f'{labels}, parameters = {{"model": "{trap.url}", "stream": true, "base_url": "{trap.url}"}}',
    ):
        column = "" if "prompt_template" in using else "column = 't', "
        assert "TRAPPED" not in attempt(owned, column + using, task, "{t.__class__} {{t}} x")
    assert trap.connections == 0


def test_no_cell_reaches_inside_or_reads_a_file(owned: World, trap: Loopback, planted: Path) -> None:
    owned.sandbox.reset()
    trap.speak = answer(PNG, content_type="image/png")
    cells = [
        *addresses(trap), f"{owned.sandbox.url}/models/x", f"{owned.sandbox.hub_url}/sandbox/requests",
        owned.server.url,
        str(planted), f"file://{planted}", f"/proc/self/root{planted}", f"../../../..{planted}", "/proc/self/environ",
        "/etc/passwd", "~/.cache/huggingface/token", str(owned.server.storage / "config.json"),
    ]  # fmt: skip
    for cell in cells:
        found = tried(
            owned,
            f"SELECT a, a_error_type FROM sees WHERE u = '{cell}' "
            "USING on_error = 'null', max_retries = 0, timeout = 5",
        )
        assert "blocked" in found or "invalid_input" in found, (cell, found)
    assert trap.connections == 0
    assert owned.sandbox.inference_requests() == []
    # A picture in the cell itself is seen, so that the above is no accident.
    picture = base64.b64encode(PNG).decode()
    assert "None" not in tried(owned, f"SELECT a FROM sees WHERE u = 'data:image/png;base64,{picture}'")
    sent = json.dumps([entry.to_dict() for entry in owned.sandbox.requests], default=str)
    assert "planted" not in sent
    assert base64.b64encode(PLANTED)[60:90].decode() not in sent


def test_no_file_is_written(owned: World, planted: Path) -> None:
    for folder in (str(planted.parent), "/tmp", "../x", str(owned.server.storage), "/proc/self/cwd"):
        assert "output_dir" in tried(owned, f"SELECT a FROM paints WHERE t = 'a hut' USING output_dir = '{folder}'")
    assert [path.name for path in planted.parent.iterdir()] == ["secret.png"]


def test_the_engine_itself_is_not_changed(owned: World, trap: Loopback) -> None:
    """MindsDB lets anybody drop what it shows them; what comes after has not the old token."""
    for statement in (
        f"CREATE ML_ENGINE owned FROM huggingface_api USING base_url = '{trap.url}'",
        f"CREATE ML_ENGINE IF NOT EXISTS owned FROM huggingface_api USING base_url = '{trap.url}'",
        f"CREATE ML_ENGINE copied FROM huggingface_api USING base_url = '{trap.url}', api_key = '******'",
        f'CREATE DATABASE owned WITH ENGINE = \'huggingface_api\', PARAMETERS = {{"base_url": "{trap.url}"}}',
        f'ALTER DATABASE owned PARAMETERS = {{"base_url": "{trap.url}"}}',
    ):
        tried(owned, statement)
    try:
        owned.model(
            "CREATE MODEL of_copy PREDICT a USING engine = 'copied', task = 'text-classification', column = 't'"
        )
        tried(owned, "SELECT a FROM of_copy WHERE t = 'x'")
    except SQLError:
        pass
    # An engine of one's own may ask one's own server; without the token of another.
    assert all("authorization" not in heard.headers for heard in trap.heard)
    owned.sandbox.reset()
    before = trap.connections
    owned.sql("SELECT a FROM reads WHERE t = 'I love the owner'")
    assert trap.connections == before
    assert len(owners_requests(owned)) == 1
    tried(owned, "DROP MODEL of_copy")
    tried(owned, "DROP ML_ENGINE copied")


def test_nothing_shows_the_token(owned: World) -> None:
    for statement in (
        "DESCRIBE reads", *(f"DESCRIBE reads.{table}" for table in ("task", "args", "usage", "runs", "example")),
        "SHOW ML_ENGINES", "SELECT * FROM information_schema.ml_engines", "SELECT * FROM mindsdb.models",
        "SHOW CREATE TABLE mindsdb.reads", "SELECT * FROM information_schema.databases", "SHOW VARIABLES",
        "DESCRIBE reads.api_key", "DESCRIBE reads.token", "DESCRIBE reads.__dict__",
        "SELECT a_meta FROM reads WHERE t = 'x' "
        "USING include_meta = true",
    ):  # fmt: skip
        assert KEY not in tried(owned, statement)
        assert KEY not in json.dumps(tried_with_secrets(owned, statement))
    log = owned.server.log_text()
    assert KEY not in log
    assert urllib.parse.quote(KEY) not in log


def tried_with_secrets(world: World, statement: str) -> str:
    try:
        return str(world.sql(statement, show_secrets=True).rows)
    except SQLError as error:
        return str(error)
