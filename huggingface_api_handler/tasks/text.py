"""Tasks that read text and say something about it: labels, entities, answers, blanks, vectors, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInput
from . import answers
from .encoders import model_name, options, parameters, text_encoder, texts
from .task import Argument, Arguments, Batching, Call, Dialect, Example, Input, Kind, Row, Task
from .vectors import read_vectors

TEXT = Input("input_column", Kind.TEXT, "the text", aliases=("column",))
CANDIDATES = Argument(
    "candidate_labels", "list", "the labels to choose from, as a list or comma-separated text", required=True,
    wire="candidate_labels",
)  # fmt: skip
LABELS = Argument(
    "labels", "list", "your names for the model's labels, in the model's order; they replace LABEL_0, LABEL_1, … "
    "and the names in the model's config",
)  # fmt: skip

#: More labels than most models have, so that all of them come.
ALL_LABELS = 100


# --- text-classification ---------------------------------------------------------------------


def _beside_top_k(args: Arguments) -> dict[str, Any]:
    """Return the fields for servers that give all labels, with scores as they are."""
    return {name: value for name, value in parameters(args).items() if name not in ("top_k", "function_to_apply")}


def encode_classification(rows: Sequence[Row], args: Arguments) -> Call:
    """Ask for all labels: without ``top_k`` some servers give one only, and mix the rows into one list."""
    if args.dialect is Dialect.OPENAI:
        return Call(root={**model_name(args), "input": [row[0] for row in rows], **_beside_top_k(args)})
    if args.dialect is not Dialect.TEI:
        given = parameters(args, top_k=max(ALL_LABELS, len(args.model.id2label)))
        return Call(inputs=texts(rows), parameters=given, root=options(args))
    fields = _beside_top_k(args)
    if args.parameters.get("function_to_apply") == "none":
        fields["raw_scores"] = True
    # A bare list of two texts would be read as one pair of texts.
    return Call(inputs=rows[0][0] if len(rows) == 1 else [[row[0]] for row in rows], root=fields)


TEXT_CLASSIFICATION = Task(
    name="text-classification",
    aliases=("sentiment-analysis",),
    answer="the label with the highest score",
    explain="all labels with their scores",
    inputs=(TEXT,),
    arguments=(LABELS,),
    parameters="TextClassificationParameters",
    encode=encode_classification,
    read=answers.read_labels,
    travel=Batching.LIST,
    routes={Dialect.TEI: "/predict", Dialect.OPENAI: "/classify"},
    default_model="distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    method="text_classification",
    example=Example((("I like you. I love you.",), ("The soup was cold and the waiter rude.",), ("Great value!",))),
)

TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    aliases=("ner",),
    answer="JSON list of the entities found",
    explain="the words found for each entity type",
    inputs=(TEXT,),
    parameters="TokenClassificationParameters",
    encode=text_encoder(aggregation_strategy="simple"),
    read=answers.read_entities,
    travel=Batching.LIST,
    default_model="FacebookAI/xlm-roberta-large-finetuned-conll03-english",
    example=Example((("Ana Lopez lives in Rome.",), ("We met at Acme Corp in Berlin.",), ("nothing to see here",))),
)

# --- questions -------------------------------------------------------------------------------

QUESTION = Input("input_column", Kind.TEXT, "the question", aliases=("question_column", "column"), constant="question")


def encode_question(rows: Sequence[Row], args: Arguments) -> Call:
    """One question with its context, or two lists of the same length."""
    if len(rows) == 1:
        inputs: dict[str, Any] = {"question": rows[0][0], "context": rows[0][1]}
    else:
        inputs = {"question": [row[0] for row in rows], "context": [row[1] for row in rows]}
    return Call(inputs=inputs, parameters=parameters(args), root=options(args))


QUESTION_ANSWERING = Task(
    name="question-answering",
    answer="the answer, a span of the context",
    explain="score, and start and end position in the context",
    inputs=(QUESTION, Input("context_column", Kind.TEXT, "the text that contains the answer", constant="context")),
    parameters="QuestionAnsweringParameters",
    encode=encode_question,
    read=answers.read_spans,
    travel=Batching.LIST,
    default_model="deepset/roberta-base-squad2",
    method="question_answering",
    example=Example(
        (
            ("Where does Ana live?", "Ana lives in Rome. She is a baker."),
            ("How old is the house?", "The house stands on a hill. The house is 120 years old."),
        )
    ),
)

ZERO_SHOT_CLASSIFICATION = Task(
    name="zero-shot-classification",
    answer="the label with the highest score",
    explain="all candidate labels with their scores",
    inputs=(TEXT,),
    arguments=(CANDIDATES,),
    parameters="ZeroShotClassificationParameters",
    encode=text_encoder(CANDIDATES),
    read=answers.read_zero_shot,
    travel=Batching.LIST,
    default_model="facebook/bart-large-mnli",
    method="zero_shot_classification",
    pipeline_tags=("text-classification",),
    example=Example(
        (("The food delivery was late",), ("A billing question about my last bill",), ("The new sports stadium",)),
        {"candidate_labels": ["food", "billing", "sports"]},
    ),
)

# --- fill-mask -------------------------------------------------------------------------------


def masked(text: str, mask: str | None) -> str:
    """Return the text with the model's own blank where the reader wrote another model's.

    Raises:
        InvalidInput: where the text has no blank.
    """
    if mask is None or mask in text:
        return text
    for other in answers.MASKS:
        if other in text:
            return text.replace(other, mask)
    raise InvalidInput(f"the text has no blank to fill: write {mask} where the word is missing")


def encode_masked(rows: Sequence[Row], args: Arguments) -> Call:
    """Texts with the model's own blank."""
    asked = [(masked(row[0], args.model.mask_token),) for row in rows]
    return Call(inputs=texts(asked), parameters=parameters(args), root=options(args))


FILL_MASK = Task(
    name="fill-mask",
    answer="the sentence, completed with the most likely word",
    explain="candidate sentences with their scores",
    inputs=(Input("input_column", Kind.TEXT, "a text with [MASK] in place of the missing word", aliases=("column",)),),
    parameters="FillMaskParameters",
    encode=encode_masked,
    read=answers.read_fillings,
    travel=Batching.LIST,
    default_model="google-bert/bert-base-uncased",
    method="fill_mask",
    example=Example((("We had a [MASK] time.",), ("This is a [MASK] town.",))),
)

# --- vectors, likeness, ranks ----------------------------------------------------------------

POOLING = Argument(
    "pooling", "text", "how token vectors are combined into one: mean, cls (the first token) or none",
    choices=("mean", "cls", "none"),
)  # fmt: skip
DIMENSIONS = Argument(
    "dimensions", "integer", "shorten vectors to this length, if the model supports it", wire="dimensions"
)


def encode_vectors(rows: Sequence[Row], args: Arguments) -> Call:
    """Always a list, even for one text: a matrix in answer to a bare text may be one vector or many tokens'."""
    asked = [row[0] for row in rows]
    fields = parameters(args, (DIMENSIONS,))
    if args.dialect is Dialect.OPENAI:
        return Call(root={**model_name(args), "input": asked, **fields})
    return Call(inputs=asked, root={**fields, **options(args)})


FEATURE_EXTRACTION = Task(
    name="feature-extraction",
    large=True,
    answer="JSON list of numbers, the embedding of the text",
    explain="number of dimensions",
    inputs=(TEXT,),
    arguments=(POOLING, DIMENSIONS),
    parameters="FeatureExtractionInput",
    encode=encode_vectors,
    read=read_vectors,
    travel=Batching.LIST,
    routes={Dialect.TEI: "/embed", Dialect.OPENAI: "/embeddings"},
    default_model="sentence-transformers/all-MiniLM-L6-v2",
    method="feature_extraction",
    pipeline_tags=("sentence-similarity",),
    pipeline_route=True,
    example=Example((("a red apple",), ("a green apple",), ("stock market news",))),
)


def encode_similarity(rows: Sequence[Row], args: Arguments) -> Call:
    """One source with all the sentences it is compared with."""
    inputs = {"source_sentence": rows[0][0], "sentences": [row[1] for row in rows]}
    return Call(inputs=inputs, parameters=parameters(args), root=options(args))


SENTENCE_SIMILARITY = Task(
    name="sentence-similarity",
    answer="similarity of the two texts as a number; 1 means identical",
    inputs=(
        Input("input_column", Kind.TEXT, "the reference text", aliases=("column",), constant="source_sentence"),
        Input("input_column2", Kind.TEXT, "the text to compare with it"),
    ),
    encode=encode_similarity,
    read=answers.read_numbers,
    travel=Batching.GROUP,
    routes={Dialect.TEI: "/similarity"},
    default_model="sentence-transformers/all-MiniLM-L6-v2",
    method="sentence_similarity",
    pipeline_tags=("feature-extraction",),
    pipeline_route=True,
    example=Example((("a red apple", "a green apple"), ("a red apple", "stock market"), ("hello", "hello there"))),
)

TRUNCATE = Argument("truncate", "boolean", "truncate texts that are too long for the model", wire="truncate")
RAW_SCORES = Argument(
    "raw_scores", "boolean", "return the model's raw scores instead of scores from 0 to 1", wire="raw_scores"
)


def encode_ranking(rows: Sequence[Row], args: Arguments) -> Call:
    """One query with all its documents."""
    asked = {"query": rows[0][0], "texts": [row[1] for row in rows]}
    fields = parameters(args, (TRUNCATE, RAW_SCORES))
    if args.dialect is Dialect.TEI:
        return Call(root={**asked, **fields})
    if args.dialect is Dialect.OPENAI:
        # The form that Cohere and Jina gave it, which OpenAI-compatible servers have taken over.
        return Call(root={**model_name(args), "query": asked["query"], "documents": asked["texts"], **fields})
    return Call(inputs=asked, parameters=fields, root=options(args))


TEXT_RANKING = Task(
    name="text-ranking",
    answer="relevance of the document to the query, as a number",
    inputs=(
        Input("input_column", Kind.TEXT, "the query", aliases=("column",), constant="query"),
        Input("input_column2", Kind.TEXT, "the document"),
    ),
    arguments=(TRUNCATE, RAW_SCORES),
    encode=encode_ranking,
    read=answers.read_ranking,
    travel=Batching.GROUP,
    routes={Dialect.TEI: "/rerank", Dialect.OPENAI: "/rerank"},
    default_model="cross-encoder/ms-marco-MiniLM-L6-v2",
    pipeline_tags=("text-classification", "sentence-similarity"),
    example=Example(
        (("cheap flights", "Flights at low prices"), ("cheap flights", "History of bread"), ("bread", "Baking bread"))
    ),
)
