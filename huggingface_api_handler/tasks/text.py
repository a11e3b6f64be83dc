"""Text tasks: labels, entities, answers, masked words, vectors, ranks."""

from __future__ import annotations

from . import answers
from .task import Argument, Batching, Example, Input, Kind, Task
from .vectors import vector_answer

TEXT = Input("input_column", Kind.TEXT, "the text", aliases=("column",))
CANDIDATES = Argument(
    "candidate_labels", "list", "the labels to choose from, as a list or comma-separated text", required=True,
)  # fmt: skip
LABELS = Argument(
    "labels", "list", "your names for the model's labels, in the model's order; they replace LABEL_0, LABEL_1, … "
    "and the names in the model's config",
)  # fmt: skip

TEXT_CLASSIFICATION = Task(
    name="text-classification",
    aliases=("sentiment-analysis",),
    answer="the label with the highest score",
    explain="all labels with their scores",
    inputs=(TEXT,),
    arguments=(LABELS,),
    parameters="TextClassificationParameters",
    decode=answers.labels_answer,
    batching=Batching.LIST,
    default_model="distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    billed_tokens=("input",),
    example=Example((("I like you. I love you.",), ("The soup was cold and the waiter rude.",), ("Great value!",))),
)

TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    aliases=("ner",),
    answer="JSON list of the entities found",
    explain="the words found for each entity type",
    inputs=(TEXT,),
    parameters="TokenClassificationParameters",
    decode=answers.entities_answer,
    place=answers.placed_entities,
    batching=Batching.LIST,
    default_model="FacebookAI/xlm-roberta-large-finetuned-conll03-english",
    example=Example((("Ana Lopez lives in Rome.",), ("We met at Acme Corp in Berlin.",), ("nothing to see here",))),
)

# --- questions -------------------------------------------------------------------------------

QUESTION = Input("input_column", Kind.TEXT, "the question", aliases=("question_column", "column"), constant="question")


QUESTION_ANSWERING = Task(
    name="question-answering",
    answer="the answer, a span of the context",
    explain="score, and start and end position in the context",
    inputs=(QUESTION, Input("context_column", Kind.TEXT, "the text that contains the answer", constant="context")),
    parameters="QuestionAnsweringParameters",
    decode=answers.span_answer,
    place=answers.placed_span,
    batching=Batching.LIST,
    default_model="deepset/roberta-base-squad2",
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
    decode=answers.labels_answer,
    batching=Batching.LIST,
    default_model="facebook/bart-large-mnli",
    pipeline_tags=("text-classification",),
    example=Example(
        (("The food delivery was late",), ("A billing question about my last bill",), ("The new sports stadium",)),
        {"candidate_labels": ["food", "billing", "sports"]},
    ),
)

# --- fill-mask -------------------------------------------------------------------------------

FILL_MASK = Task(
    name="fill-mask",
    answer="the sentence, completed with the most likely word",
    explain="candidate sentences with their scores",
    inputs=(Input("input_column", Kind.TEXT, "a text with [MASK] in place of the missing word", aliases=("column",)),),
    parameters="FillMaskParameters",
    decode=answers.fillings_answer,
    batching=Batching.LIST,
    default_model="google-bert/bert-base-uncased",
    example=Example((("We had a [MASK] time.",), ("This is a [MASK] town.",))),
)

# --- vectors, similarity, ranks --------------------------------------------------------------

POOLING = Argument(
    "pooling", "text", "how token vectors are combined into one: mean, cls (the first token) or none",
    choices=("mean", "cls", "none"),
)  # fmt: skip
DIMENSIONS = Argument("dimensions", "integer", "shorten vectors to this length, if the model supports it")


FEATURE_EXTRACTION = Task(
    name="feature-extraction",
    large=True,
    answer="JSON list of numbers, the embedding of the text",
    explain="number of dimensions",
    inputs=(TEXT,),
    arguments=(POOLING, DIMENSIONS),
    parameters="FeatureExtractionInput",
    decode=vector_answer,
    batching=Batching.LIST,
    default_model="sentence-transformers/all-MiniLM-L6-v2",
    pipeline_tags=("sentence-similarity",),
    billed_tokens=("input",),
    example=Example((("a red apple",), ("a green apple",), ("stock market news",))),
)


SENTENCE_SIMILARITY = Task(
    name="sentence-similarity",
    answer="similarity of the two texts as a number; 1 means identical",
    inputs=(
        Input("input_column", Kind.TEXT, "the reference text", aliases=("column",), constant="source_sentence"),
        Input("input_column2", Kind.TEXT, "the text to compare with it"),
    ),
    decode=answers.number_answer,
    batching=Batching.GROUP,
    default_model="sentence-transformers/all-MiniLM-L6-v2",
    pipeline_tags=("feature-extraction",),
    billed_tokens=("input",),
    example=Example((("a red apple", "a green apple"), ("a red apple", "stock market"), ("hello", "hello there"))),
)

TRUNCATE = Argument("truncate", "boolean", "truncate texts that are too long for the model")
RAW_SCORES = Argument("raw_scores", "boolean", "return the model's raw scores instead of scores from 0 to 1")


TEXT_RANKING = Task(
    name="text-ranking",
    answer="relevance of the document to the query, as a number",
    inputs=(
        Input("input_column", Kind.TEXT, "the query", aliases=("column",), constant="query"),
        Input("input_column2", Kind.TEXT, "the document"),
    ),
    arguments=(TRUNCATE, RAW_SCORES),
    decode=answers.rank_answer,
    batching=Batching.GROUP,
    default_model="cross-encoder/ms-marco-MiniLM-L6-v2",
    pipeline_tags=("text-classification", "sentence-similarity"),
    billed_tokens=("input",),
    example=Example(
        (("cheap flights", "Flights at low prices"), ("cheap flights", "History of bread"), ("bread", "Baking bread"))
    ),
)
