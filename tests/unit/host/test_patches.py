"""Patches of MindsDB that need no server to show their effect. MindsDB changes the logging of its process."""

from __future__ import annotations

from pathlib import Path

from .process import printed

#: A model is dropped while it is created: MindsDB updates a row that is gone.
DROPPED = """
from mindsdb.integrations.libs import process_cache
from mindsdb.interfaces.storage import db
from mindsdb.utilities.context import context as ctx
from sqlalchemy import Column, Integer, create_engine, delete
from sqlalchemy.orm import declarative_base, scoped_session, sessionmaker

from huggingface_api_handler.host import patches

patches.apply_patches()
Base = declarative_base()

class Model(Base):
    __tablename__ = "models"
    id = Column(Integer, primary_key=True)
    status = Column(Integer)

engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
db.session = session = scoped_session(sessionmaker(bind=engine))

def learn():
    model = Model(id=1, status=0)
    session.add(model)
    session.commit()
    assert model.status == 0
    session.execute(delete(Model).execution_options(synchronize_session=False))
    model.status = 1
    session.flush()

try:
    process_cache.warm_function(learn, ctx.dump())
except process_cache.MLProcessException as error:
    print("StaleDataError" in error.message)
print(process_cache.warm_function(lambda: session.query(Model).count(), ctx.dump()))
"""

#: Statements that MindsDB's parser refuses, as the log quotes them.
LOGGED = """
import logging, sys
from mindsdb.utilities import log as host_log
from huggingface_api_handler.host import patches

patches.apply_patches()

class Formatter(host_log.SanitizingMixin, logging.Formatter):
    pass

for text in sys.argv[1:]:
    print(Formatter().format(logging.LogRecord("x", logging.ERROR, "", 0, text, (), None)).replace("\\n", " "))
"""


def test_a_key_of_any_form_in_a_statement_is_masked_in_the_log(tmp_path: Path) -> None:
    start = "CREATE ML_ENGINE e FROM huggingface_api USING "
    texts = [
        f"{start}api_key = 'sk-gateway' x'",
        f"{start}\n  API_KEY='sk-gateway, base_url = 'x'",
        f'{start}huggingface_api_api_key="sk-gateway"',
        start + '{"api_key": "sk-gateway"}',
        f"{start}api_key = 'sk,1)gateway', base_url = 'x' y",
        start + '{"api_key":"sk;1}gateway","base_url":"x"}',
        f"{start}api_key = 'sk,1)gateway x",
        "CREATE ML_ENGINE e FROM openai USING api_key = 'sk-other' x'",
    ]
    *ours, other = printed(LOGGED, tmp_path, *texts)[-len(texts) :]
    assert "gateway" not in " ".join(ours)
    assert ours[0] == f"{start}api_key = ****** x'"
    assert all("base_url" in ours[at] for at in (1, 4, 5))
    assert other == texts[-1]


def test_a_task_that_fails_in_the_database_leaves_the_worker_usable(tmp_path: Path) -> None:
    assert printed(DROPPED, tmp_path)[-2:] == ["True", "1"]
