"""Where a key goes and where it must never be found."""

from __future__ import annotations

import json
import signal
import sqlite3
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError, Table

from .conftest import World
from .one_process import environment, found_by, run_script

ENGINE_KEY = "hf_" + "engineKey" * 4
MODEL_KEY = "hf_" + "modelKey" * 4
OTHER_KEY = "hf_" + "otherKey" * 4
BROKEN_KEY = "hf_" + "brokenKey" * 4
GATEWAY_KEY = "gateway.Key-" + "0123" * 4
REFUSED_KEY = "hf_" + "refusedKey" * 4


@pytest.fixture(scope="module")
def keyed(world: World) -> Iterator[World]:
    """An engine and a model with keys of their own, used and retrained."""
    world.sql(f"CREATE ML_ENGINE keyed FROM huggingface_api USING api_key = '{ENGINE_KEY}'")
    world.model("CREATE MODEL by_engine PREDICT a USING engine = 'keyed', task = 'text-classification', column = 't'")
    world.model(
        "CREATE MODEL by_model PREDICT a USING engine = 'keyed', task = 'text-classification', column = 't', "
        f"api_key = '{MODEL_KEY}'"
    )
    yield world
    world.sql("DROP MODEL by_engine")
    world.sql("DROP MODEL by_model")
    world.sql("DROP ML_ENGINE keyed")


def places(world: World) -> Iterator[tuple[str, str]]:
    """All that people and files can show."""
    shown = {"show_secrets": True}
    yield "SHOW ML_ENGINES", str(world.sql("SHOW ML_ENGINES").rows)
    yield "SHOW ML_ENGINES with secrets", str(world.sql("SHOW ML_ENGINES", **shown).rows)
    yield "models with secrets", str(world.sql("SELECT * FROM mindsdb.models", **shown).rows)
    for model in ("by_engine", "by_model"):
        yield f"DESCRIBE {model}", str(world.sql(f"DESCRIBE {model}", **shown).rows)
        for table in ("task", "args", "usage", "runs", "example"):
            yield f"DESCRIBE {model}.{table}", str(world.sql(f"DESCRIBE {model}.{table}", **shown).rows)
    for path in ("databases", "databases/keyed", "projects/mindsdb/models", "projects/mindsdb/models/by_model",
                 "handlers", "config"):  # fmt: skip
        try:
            with urllib.request.urlopen(f"{world.server.url}/api/{path}", timeout=60) as answer:
                yield f"GET {path}", answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                yield f"GET {path}", refusal.read().decode()
    for file in Path(world.server.storage).rglob("*"):
        if file.is_file():
            yield f"file {file.name}", file.read_bytes().decode("latin1")


def where(world: World, *keys: str) -> list[str]:
    return [place for place, text in places(world) for key in keys if key in text]


def test_the_keys_are_used(keyed: World) -> None:
    tokens = []
    for model in ("by_engine", "by_model"):
        keyed.sandbox.reset()
        assert keyed.sql(f"SELECT a FROM {model} WHERE t = 'I love keys'").rows == (("POSITIVE",),)
        tokens += [entry.token for entry in keyed.sandbox.inference_requests()]
    assert tokens == [keyed.sandbox.fingerprint(ENGINE_KEY), keyed.sandbox.fingerprint(MODEL_KEY)]


def test_the_keys_are_shown_nowhere(keyed: World) -> None:
    assert where(keyed, ENGINE_KEY, MODEL_KEY) == []


def test_the_mask_stands_where_the_key_stood(keyed: World) -> None:
    engines = keyed.sql("SHOW ML_ENGINES WHERE name = 'keyed'", show_secrets=True).records()
    assert "******" in str(engines)


def test_the_result_of_create_model_and_retrain_shows_the_mask(keyed: World, run: Callable[[str], Table]) -> None:
    using = "task = 'text-classification', column = 't'"
    created = run(f"CREATE MODEL shown PREDICT a USING engine = 'keyed', {using}, api_key = '{MODEL_KEY}'")
    try:
        keyed.server.wait_for_model("shown")
        retrained = run(f"RETRAIN shown USING {using}, huggingface_api_api_key = '{OTHER_KEY}'")
        keyed.server.wait_for_model("shown")
        for result, key in ((created, MODEL_KEY), (retrained, OTHER_KEY)):
            (options,) = result.column("TRAINING_OPTIONS")
            assert "api_key': '******'" in options
            assert key not in str(result)
        keyed.sandbox.reset()
        run("SELECT a FROM shown WHERE t = 'I love results'")
        assert {entry.token for entry in keyed.sandbox.inference_requests()} == {keyed.sandbox.fingerprint(OTHER_KEY)}
        assert where(keyed, MODEL_KEY, OTHER_KEY) == []
    finally:
        keyed.sql("DROP MODEL shown")


def test_retrain_still_has_its_key(keyed: World) -> None:
    keyed.sql("RETRAIN by_model")
    keyed.server.wait_for_model("by_model")
    versions = keyed.sql("SELECT version, active FROM mindsdb.models WHERE name = 'by_model'").rows
    assert [int(version) for version, active in versions if active] == [2], versions
    keyed.sandbox.reset()
    keyed.sql("SELECT a FROM by_model WHERE t = 'I love retraining'")
    assert {entry.token for entry in keyed.sandbox.inference_requests()} == {keyed.sandbox.fingerprint(MODEL_KEY)}
    assert where(keyed, MODEL_KEY) == []


def test_a_refused_key_leaves_nothing_behind(keyed: World) -> None:
    keyed.sandbox.refuse(REFUSED_KEY)
    with pytest.raises(SQLError, match="401"):
        keyed.sql(f"CREATE ML_ENGINE refused FROM huggingface_api USING api_key = '{REFUSED_KEY}'")
    assert "refused" not in str(keyed.sql("SHOW ML_ENGINES").rows)
    assert where(keyed, REFUSED_KEY) == []


def test_an_engine_with_a_used_id_has_not_the_old_key(keyed: World) -> None:
    """MindsDB's ids come again after DROP, and DROP leaves the encrypted storage behind."""
    keyed.sql(f"CREATE ML_ENGINE first FROM huggingface_api USING api_key = '{ENGINE_KEY}'")
    keyed.sql("DROP ML_ENGINE first")
    keyed.sql("CREATE ML_ENGINE second FROM huggingface_api")
    keyed.model("CREATE MODEL anonymous PREDICT a USING engine = 'second', task = 'text-classification', column = 't'")
    try:
        keyed.sandbox.reset()
        keyed.sql("SELECT a FROM anonymous WHERE t = 'I love nobody'")
        assert {entry.token for entry in keyed.sandbox.inference_requests()} == {None}
    finally:
        keyed.sql("DROP MODEL anonymous")
        keyed.sql("DROP ML_ENGINE second")


def test_what_is_kept_is_encrypted(keyed: World) -> None:
    path = next(Path(keyed.server.storage).rglob("mindsdb.sqlite3.db"))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT name, content, encrypted_content FROM json_storage").fetchall()
    secrets = [row for row in rows if row[0] == "huggingface_api_secrets"]
    assert secrets
    assert all(content is None and encrypted for _, content, encrypted in secrets)
    plain = json.dumps([row[1] for row in rows], default=str)
    assert not any(key in plain for key in (ENGINE_KEY, MODEL_KEY))


@pytest.mark.parametrize(
    ("using", "says"),
    [
        ("api_key = ''", "api_key is empty: write api_key = 'hf_…'"),
        ("api_key = 5", "api_key must be text in quotes: write api_key = 'hf_…'"),
        (f"api_key = ['{REFUSED_KEY}']", "api_key must be text in quotes: write api_key = 'hf_…'"),
        (f"api_key = {REFUSED_KEY}", "api_key must be text in quotes: write api_key = 'hf_…'"),
        ("api_key = a_gateways_key", "api_key must be text in quotes: write api_key = 'hf_…'"),
        (f"bill_to = '{REFUSED_KEY}'", "bill_to contains what looks like a token: write it in api_key"),
        (f"allowed_hosts = ['{REFUSED_KEY}']", "allowed_hosts contains what looks like a token: write it in api_key"),
        (f"token = '{REFUSED_KEY}'", "token contains what looks like a token: write it in api_key"),
    ],
)
def test_a_key_that_cannot_be_one_or_is_elsewhere_is_refused_and_leaves_nothing_behind(
    keyed: World, using: str, says: str
) -> None:
    with pytest.raises(SQLError) as refused:
        keyed.sql(f"CREATE ML_ENGINE refused FROM huggingface_api USING {using}")
    assert says.replace("…", "...") in str(refused.value).replace("…", "...")
    assert "refused" not in str(keyed.sql("SHOW ML_ENGINES").rows)
    assert where(keyed, REFUSED_KEY) == []


@pytest.mark.parametrize(
    "using",
    [f"model_name = '{REFUSED_KEY}'", f"options = {{'api_key': '{REFUSED_KEY}'}}",
     f"parameters = {{'x': '{REFUSED_KEY}'}}",
     f"options = {{'x': {{'password': '{REFUSED_KEY}'}}}}"],
)  # fmt: skip
def test_a_models_key_elsewhere_is_refused_and_leaves_nothing_behind(keyed: World, using: str) -> None:
    made = "CREATE MODEL refused PREDICT a USING engine = 'keyed', task = 'text-classification', column = 't'"
    asked = f"SELECT a FROM by_engine WHERE t = 'x' USING {using}"
    for statement in (f"{made}, {using}", asked):
        with pytest.raises(SQLError) as refused:
            keyed.sql(statement)
        assert REFUSED_KEY not in str(refused.value)
    assert where(keyed, REFUSED_KEY) == []


def test_that_an_engine_is_anonymous_is_said_in_full(keyed: World) -> None:
    """MindsDB's log masks what follows words such as "token:"."""
    keyed.sql("CREATE ML_ENGINE nobody FROM huggingface_api")
    keyed.sql("DROP ML_ENGINE nobody")
    said = "this engine has no token, so its requests are anonymous; CREATE ML_ENGINE takes it as api_key"
    assert said in keyed.server.log_text()


@pytest.mark.parametrize("key", [BROKEN_KEY, GATEWAY_KEY], ids=["hugging face", "gateway"])
def test_a_statement_with_broken_quotes_leaves_no_key_in_the_log(
    keyed: World, run: Callable[[str], Table], key: str
) -> None:
    """MindsDB logs the parser's error, which quotes the statement, with its traceback."""
    if key == GATEWAY_KEY:  # nothing tells that it is a key but that it has been given as one
        run(
            f"CREATE ML_ENGINE gateway FROM huggingface_api USING api_key = '{key}', base_url = 'http://127.0.0.1:9/v1'"
        )
        run("DROP ML_ENGINE gateway")
    run("DESCRIBE by_engine.task")  # MindsDB imports the package in this process
    before = len(keyed.server.log_text())
    for quoted in (f"'{key}", f"\u2018{key}\u2019", f"''{key}''"):
        with pytest.raises(SQLError):
            run(f"CREATE ML_ENGINE broken FROM huggingface_api USING api_key = {quoted}")
    logged = keyed.server.log_text()[before:]
    assert "Traceback" in logged
    assert "CREATE ML_ENGINE broken" in logged
    assert key not in logged
    assert where(keyed, key) == []


def test_a_key_is_never_in_the_clear_in_a_file_and_survives_a_kill(installed: None, tmp_path: Path) -> None:
    """MindsDB commits an engine's record seconds before the handler's worker has started."""
    environ = environment(tmp_path)
    killed = run_script("keys_inprocess", environ, "create", ENGINE_KEY)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert killed.stdout.split() == []
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert "mindsdb.sqlite3.db" in [file.name for file in files]
    assert [file.name for file in files if ENGINE_KEY.encode() in file.read_bytes()] == []
    assert found_by("keys_inprocess", environ, "read") == [
        {"api_key": "******", "bill_to": "acme"}, {"bill_to": "acme"}, ENGINE_KEY
    ]  # fmt: skip
