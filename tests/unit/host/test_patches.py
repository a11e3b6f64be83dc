"""Patches of MindsDB that need no server to show their effect. MindsDB changes the logging of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_a_task_that_fails_in_the_database_leaves_the_worker_usable(tmp_path: Path) -> None:
    environ = {**os.environ, "MINDSDB_STORAGE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", DROPPED], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines()[-2:] == ["True", "1"], done.stderr[-2000:]
