"""The engine as MindsDB calls it: create, predict and describe, each passed on to the part that does the work."""

from __future__ import annotations

import atexit
import logging
import uuid
from collections.abc import Mapping
from typing import Any

import pandas as pd
from mindsdb.integrations.libs.base import BaseMLEngine
from mindsdb.interfaces.storage.model_fs import HandlerStorage

from .arguments import (
    EngineSettings,
    ModelSettings,
    engine_settings,
    model_settings,
    query_command,
    query_settings,
)
from .arguments.forms import query_form
from .arguments.settings import secret_text
from .arguments.specs import HOST_CONDITIONS, HOST_EQUAL_COLUMNS
from .errors import SettingsError
from .host import storage, worker
from .host.patches import apply_patches, purge_predictions
from .host.settings import ENGINE, cache_settings, configured_token, is_key_argument, tenant
from .host.statement import statement_of
from .hub import facts
from .query.advice import unserved
from .query.caller import Caller
from .query.commands import run_command
from .query.conditions import refuse_columns_in_where
from .query.cost import price_list
from .query.describe import Description, describe
from .query.inputs import read_columns
from .query.pipeline import Prediction
from .query.runtime import RUNTIME
from .query.store import open_store, tenant_of
from .query.typed_columns import check_names
from .tasks import TASKS

log = logging.getLogger(__name__)

apply_patches()
atexit.register(RUNTIME.close)


class HuggingFaceInferenceAPIHandler(BaseMLEngine):  # type: ignore[misc]
    """Calls Hugging Face's inference services for the rows of a query."""

    name = ENGINE

    def __init__(self, model_storage: Any, engine_storage: Any, **kwargs: Any) -> None:
        super().__init__(model_storage, engine_storage, **kwargs)
        self.generative = True  # the PREDICT column is not a column of a training set

    @classmethod
    def prediction_args(cls) -> list[dict[str, Any]]:
        """Return the arguments of SELECT … USING, for MindsDB's user interface."""
        return query_form()

    def create_engine(self, connection_args: dict[str, Any]) -> None:
        """Validate the engine's arguments and store its token encrypted.

        Raises:
            SettingsError: invalid arguments.
            Unauthorized: a token that the Hub does not know.
        """
        record = storage.store_engine(self.engine_storage, connection_args or {})
        # The key of the statement is validated too.
        engine = engine_settings(connection_args, token=record.token, configured_token=configured_token())
        token = secret_text(engine.token)
        if token is None:
            log.warning("this engine has no token, so its requests are anonymous; CREATE ML_ENGINE takes it as api_key")
        elif token.startswith("hf_") and facts.whoami(token) is None:
            log.warning(
                "the Hugging Face Hub does not respond, so the token is not checked; the engine is created anyway"
            )

    @staticmethod
    def create_validation(target: Any, args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Validate a CREATE MODEL, RETRAIN or FINETUNE before anything is stored.

        Raises:
            SettingsError: all errors of the statement.
            HuggingFaceError: the Hub refuses the model or the token.
        """
        engine_storage: HandlerStorage = kwargs["handler_storage"]
        _check_target(target)
        using = (args or {}).get("using")
        _validated(using, _engine(storage.engine_record(engine_storage)), str(target))

    def create(self, target: str, df: pd.DataFrame | None = None, args: dict[str, Any] | None = None) -> None:
        """Store the model's settings; first of all, its token moves to the encrypted storage.

        Raises:
            HuggingFaceError: as for ``create_validation``.
        """
        using = dict((args or {}).get("using") or {})
        key = storage.store_model_key(self.model_storage, using)
        _check_target(target)
        record = storage.engine_record(self.engine_storage)
        if key.token is not None:
            using = {name: value for name, value in using.items() if not is_key_argument(name)}
            using["api_key"] = key.token
        model = _validated(using, _engine(record), target)
        if storage.bind_model_key(self.model_storage, key, _destination(record, model)).token != key.token:
            raise _not_its_key()
        self.model_storage.json_set(
            storage.MODEL, {"target": target, "uid": uuid.uuid4().hex, "settings": model.to_dict()}
        )
        purge_predictions(self.model_storage.predictor_id)
        # Asked now, so that the first query need not wait for the router.
        engine, model, caller = self._opened()
        price_list(model, engine, caller, RUNTIME, open_store(RUNTIME, cache_settings()))

    def predict(self, df: pd.DataFrame, args: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the prediction columns for ``df``, same index and order.

        Everything is read from the storages each time: MindsDB caches handler instances by model ID and reuses IDs.

        Raises:
            HuggingFaceError: see ``Prediction.run``.
        """
        worker.exit_with_parent()
        prediction, command = self._prepared(args)
        if command is not None:
            return run_command(command, prediction, df)
        with worker.busy():
            return prediction.run(df)

    def command(self, df: pd.DataFrame, args: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return what ``predict`` returns for a query that is a command, in the process of the server.

        Raises:
            HuggingFaceError: see ``run_command``.
        """
        prediction, command = self._prepared(args)
        if command is None:
            raise ValueError("not a command")
        return run_command(command, prediction, df)

    def _prepared(self, args: dict[str, Any] | None) -> tuple[Prediction, str | None]:
        """Return a query with its settings, and the command that it is instead, if it is one."""
        engine, model, caller = self._opened()
        overrides = (args or {}).get("predict_params") or {}
        model = query_settings(model, engine, overrides, alias=caller.name)
        task = TASKS[model.task]
        refuse_columns_in_where(overrides.get(HOST_EQUAL_COLUMNS) or {}, task, model)
        store = open_store(RUNTIME, cache_settings())
        statement = statement_of(self.model_storage.predictor_id, caller.model)
        conditions = overrides.get(HOST_CONDITIONS)
        prediction = Prediction(model, engine, caller, RUNTIME, store, statement=statement, conditions=conditions)
        return prediction, query_command(task, overrides, alias=caller.name)

    def finetune(self, df: pd.DataFrame | None = None, args: dict[str, Any] | None = None) -> None:
        """Refuse: this engine does not train models."""
        raise _no_finetune()

    def describe(self, attribute: Any = None) -> pd.DataFrame:
        """Return one of the tables about the model; without ``attribute`` the list of them.

        Raises:
            SettingsError: there is no such table, or the model is not complete.
        """
        if attribute is None and not self.model_storage.json_get(storage.MODEL):
            return pd.DataFrame()  # MindsDB shows the model's status and error beside the list
        engine, model, caller = self._opened()
        store = open_store(RUNTIME, cache_settings())
        return describe(Description(model, engine, caller, store, RUNTIME), attribute)

    def _opened(self) -> tuple[EngineSettings, ModelSettings, Caller]:
        name, engine_storage = storage.engine_of(self.model_storage)
        record = storage.engine_record(engine_storage)
        engine = _engine(record)
        stored = self.model_storage.json_get(storage.MODEL)
        if not stored:
            raise storage.not_complete(self.model_storage)
        key = storage.model_key(self.model_storage)
        model = ModelSettings.from_dict(stored["settings"], token=key.token)
        if not key.is_for(_destination(record, model)):
            raise _not_its_key()
        caller = Caller(
            tenant=tenant_of(*tenant()),
            engine=record.uid,
            model=str(stored["uid"]),
            key=key.uid,
            name=name,
            target=str(stored["target"]),
            engine_name=storage.engine_name(engine_storage),
            project=storage.project_name(self.model_storage),
        )
        return engine, model, caller


def _engine(record: storage.EngineRecord) -> EngineSettings:
    return engine_settings(record.arguments, token=record.token, configured_token=configured_token())


def _destination(record: storage.EngineRecord, model: ModelSettings) -> tuple[str | None, ...]:
    """Return the destination of a model's own token."""
    return record.uid, model.endpoint, model.base_url


def _not_its_key() -> SettingsError:
    return SettingsError(
        "the model's api_key belongs to another engine, endpoint or base_url, and is not sent to this one",
        advice="Write the key again: RETRAIN … USING …, api_key = 'hf_…'",
    )


def _validated(using: Mapping[str, Any] | None, engine: EngineSettings, target: str) -> ModelSettings:
    """Return the settings of a USING clause, with the Hub's record of the model."""
    # RETRAIN passes a mask in place of the key, which counts as none; create() finds the key.
    model = model_settings(using, engine, hub=facts.model_facts, unserved=unserved)
    read = read_columns(TASKS[model.task], model)
    if model.output_schema is not None:
        check_names(model.output_schema, read, target)
    if target.lower() in (name.lower() for name in read):
        # MindsDB overwrites the prediction with values of WHERE: the input would appear as the answer.
        raise SettingsError(
            f"PREDICT {target} has the name of a column that the model reads",
            advice=f"Choose another name: PREDICT {target}_predicted",
        )
    return model


def _check_target(target: Any) -> None:
    """Refuse FINETUNE, which passes a list of targets, and a CREATE MODEL without PREDICT."""
    if isinstance(target, (list, tuple)):
        if any(target):
            raise _no_finetune()
        target = ""
    if not str(target or "").strip():
        raise SettingsError(
            "the statement has no PREDICT",
            advice="Name the column to fill: CREATE MODEL m PREDICT sentiment USING task = 'text-classification', …",
        )


def _no_finetune() -> SettingsError:
    return SettingsError(
        "FINETUNE is not supported: this engine calls models that Hugging Face serves and does not train them",
        advice="Fine-tune the model elsewhere, push it to the Hub and name it with model_name; "
        "to change this model's arguments use RETRAIN … USING",
    )
