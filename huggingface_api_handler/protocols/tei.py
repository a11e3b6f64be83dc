"""text-embeddings-inference: vectors, labels and ranks. Fields are beside ``inputs``, lists of texts are nested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..tasks.shapes import int64
from ..tasks.task import Arguments, Row
from . import openai, toolkit
from .base import Call, Fields, Probe, Protocol, Server, Serving, beside, done, model_name, sent
from .splitting import split_numbers, split_pairs_labels, split_ranking, split_vectors, with_function


def encode_classification(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, each in a list of its own: a bare list of two texts would be one pair of texts."""
    inputs = rows[0][0] if len(rows) == 1 else [[row[0]] for row in rows]
    raw = {"raw_scores": True} if args.parameters.get("function_to_apply") else {}
    return Call(inputs, root={**fields.root, **raw})


def encode_vectors(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, as a list even for one."""
    return Call([row[0] for row in rows], root=fields.root)


def encode_similarity(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One source with all the sentences it is compared with."""
    return Call({"source_sentence": rows[0][0], "sentences": [row[1] for row in rows]}, root=fields.root)


def encode_ranking(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One query with all its documents."""
    return Call(root=beside({"query": rows[0][0], "texts": [row[1] for row in rows]}, fields.root))


def recognize(probe: Probe) -> Server | None:
    """Return the server if ``/info`` tells of a model that embeds, ranks or classifies."""
    about = probe("/info")
    if not isinstance(about, Mapping) or "model_type" not in about:
        return None
    if "max_client_batch_size" not in about and "max_batch_tokens" not in about:
        return None
    most = int64(about.get("max_client_batch_size"))
    return Server(PROTOCOL, model=model_name(about.get("model_id")), max_batch_size=most if most and most > 0 else None)


PROTOCOL = Protocol(
    name="tei",
    title="text-embeddings-inference",
    tasks={
        "text-classification": Serving(
            encode_classification,
            with_function(split_pairs_labels),
            openai.CLASSIFICATION_ARGUMENTS,
            route="/predict",
            root_fields=True,
        ),
        "feature-extraction": Serving(
            encode_vectors,
            split_vectors,
            {
                **done("the client pools the vectors of tokens", "pooling"),
                **sent("dimensions", "normalize", "prompt_name", "truncate", "truncation_direction", root=True),
            },
            route="/embed",
            root_fields=True,
        ),
        "sentence-similarity": Serving(encode_similarity, split_numbers, {}, "/similarity", root_fields=True),
        "text-ranking": Serving(
            encode_ranking, split_ranking, sent("truncate", "raw_scores", root=True), "/rerank", root_fields=True
        ),
    },
    others=toolkit.PROTOCOL,
    recognize=recognize,
    routes=("/embed_all",),
)
