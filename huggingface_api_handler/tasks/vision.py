"""Tasks about pictures and films: what is in them, what is asked about them, and making them."""

from __future__ import annotations

from collections.abc import Sequence

from . import answers, media_answers, samples
from .encoders import media_encoder, options, parameters, text_encoder
from .generation import PROMPT, lengths
from .task import Arguments, Batching, Call, Example, Input, Kind, Row, Task
from .text import CANDIDATES, LABELS

IMAGE = Input("input_column", Kind.IMAGE, "the image", aliases=("image_column", "column"))
VIDEO = Input("input_column", Kind.VIDEO, "the video", aliases=("column",))
WISH = Input("prompt_column", Kind.TEXT, "a description of the result", required=False, constant="prompt")
ASKED = Input("question_column", Kind.TEXT, "the question", constant="question")

PICTURES = ((samples.png(b"one"),), (samples.png(b"two"),))
SPOTS = ((samples.spot(205, 45, 45),), (samples.spot(45, 90, 170),))
FILMS = ((samples.avi(b"one"),), (samples.avi(b"two"),))
CAPTION_LENGTH = lengths(None, "max_new_tokens")


def makes_another(args: Arguments) -> bool:
    """Say whether the service draws lots: it does unless a seed is given."""
    return args.parameters.get("seed") is None


# --- what is in them -------------------------------------------------------------------------

IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    answer="the label with the highest score",
    explain="all returned labels with their scores",
    inputs=(IMAGE,),
    arguments=(LABELS,),
    parameters="ImageClassificationParameters",
    encode=media_encoder(),
    read=answers.read_media_labels,
    travel=Batching.ONE,
    default_model="google/vit-base-patch16-224",
    method="image_classification",
    example=Example(PICTURES),
)

OBJECT_DETECTION = Task(
    name="object-detection",
    answer="JSON list of label, score and box, highest score first",
    explain="number of objects per label",
    inputs=(IMAGE,),
    parameters="ObjectDetectionParameters",
    encode=media_encoder(),
    read=answers.read_detections,
    travel=Batching.ONE,
    default_model="facebook/detr-resnet-50",
    method="object_detection",
    example=Example(SPOTS),
)

ZERO_SHOT_OBJECT_DETECTION = Task(
    name="zero-shot-object-detection",
    answer="JSON list of label, score and box, highest score first",
    explain="number of objects per label",
    inputs=(IMAGE,),
    arguments=(CANDIDATES,),
    parameters="ZeroShotObjectDetectionParameters",
    encode=media_encoder(CANDIDATES),
    read=answers.read_detections,
    travel=Batching.ONE,
    default_model="google/owlv2-base-patch16-ensemble",
    example=Example(SPOTS, {"candidate_labels": ["red ball", "blue ball"]}),
)

IMAGE_SEGMENTATION = Task(
    name="image-segmentation",
    large=True,
    answer="JSON list of label, score and mask (a data URI)",
    explain="number of segments per label",
    inputs=(IMAGE,),
    parameters="ImageSegmentationParameters",
    encode=media_encoder(),
    read=media_answers.read_segments,
    travel=Batching.ONE,
    default_model="nvidia/segformer-b0-finetuned-ade-512-512",
    example=Example(SPOTS),
)

IMAGE_TO_TEXT = Task(
    name="image-to-text",
    answer="the caption",
    inputs=(IMAGE,),
    arguments=CAPTION_LENGTH,
    parameters="ImageToTextParameters",
    encode=media_encoder(*CAPTION_LENGTH),
    read=answers.text_reader("generated_text"),
    travel=Batching.ONE,
    default_model="Salesforce/blip-image-captioning-base",
    pipeline_tags=("image-text-to-text",),
    example=Example(PICTURES),
)

ZERO_SHOT_IMAGE_CLASSIFICATION = Task(
    name="zero-shot-image-classification",
    answer="the label with the highest score",
    explain="all candidate labels with their scores",
    inputs=(IMAGE,),
    arguments=(CANDIDATES,),
    parameters="ZeroShotImageClassificationParameters",
    encode=media_encoder(CANDIDATES),
    read=answers.read_media_labels,
    travel=Batching.ONE,
    default_model="openai/clip-vit-large-patch14-336",
    example=Example(PICTURES, {"candidate_labels": ["cat", "dog"]}),
)

VIDEO_CLASSIFICATION = Task(
    name="video-classification",
    answer="the label with the highest score",
    explain="all returned labels with their scores",
    inputs=(VIDEO,),
    arguments=(LABELS,),
    parameters="VideoClassificationParameters",
    encode=media_encoder(),
    read=answers.read_media_labels,
    travel=Batching.ONE,
    default_model="MCG-NJU/videomae-base-finetuned-kinetics",
    example=Example(FILMS),
)

# --- what is asked about them ----------------------------------------------------------------


def encode_asked(rows: Sequence[Row], args: Arguments) -> Call:
    """An image with its question."""
    image, question = rows[0]
    inputs = {"image": image.base64, "question": question}
    return Call(inputs=inputs, parameters=parameters(args), root=options(args))


VISUAL_QUESTION_ANSWERING = Task(
    name="visual-question-answering",
    answer="the answer with the highest score",
    explain="all answers with their scores",
    inputs=(IMAGE, ASKED),
    parameters="VisualQuestionAnsweringParameters",
    encode=encode_asked,
    read=answers.read_all_answers,
    travel=Batching.ONE,
    default_model="dandelin/vilt-b32-finetuned-vqa",
    pipeline_tags=("image-text-to-text",),
    example=Example(tuple((*row, "What colour is it?") for row in PICTURES)),
)

DOCUMENT_QUESTION_ANSWERING = Task(
    name="document-question-answering",
    answer="the answer with the highest score",
    explain="all answers with their scores",
    inputs=(IMAGE, ASKED),
    parameters="DocumentQuestionAnsweringParameters",
    encode=encode_asked,
    read=answers.read_all_answers,
    travel=Batching.ONE,
    default_model="impira/layoutlm-document-qa",
    pipeline_tags=("visual-question-answering", "image-to-text", "image-text-to-text"),
    example=Example(tuple((*row, "What is the total?") for row in PICTURES)),
)

# --- making them -----------------------------------------------------------------------------

DEPTH_ESTIMATION = Task(
    name="depth-estimation",
    large=True,
    answer="data URI of the depth image",
    inputs=(IMAGE,),
    encode=media_encoder(),
    read=media_answers.media_reader("image", described=False),
    travel=Batching.ONE,
    default_model="depth-anything/Depth-Anything-V2-Small-hf",
    example=Example(PICTURES),
)

IMAGE_TO_IMAGE = Task(
    name="image-to-image",
    large=True,
    answer="data URI of the new image",
    inputs=(IMAGE, WISH),
    parameters="ImageToImageParameters",
    encode=media_encoder(prompt="prompt", accept="image/png"),
    read=media_answers.media_reader("image", described=False),
    travel=Batching.ONE,
    default_model="black-forest-labs/FLUX.1-Kontext-dev",
    samples=makes_another,
    example=Example(PICTURES, {"prompt": "make it blue"}),
)

TEXT_TO_IMAGE = Task(
    name="text-to-image",
    answer="data URI of the image, or a file path if output_dir is set",
    makes=Kind.IMAGE,
    explain="media type and size in bytes",
    inputs=(PROMPT,),
    parameters="TextToImageParameters",
    encode=text_encoder(accept="image/png"),
    read=media_answers.media_reader("image", described=True),
    travel=Batching.ONE,
    default_model="black-forest-labs/FLUX.1-dev",
    samples=makes_another,
    example=Example((("a hut by the sea",), ("a red bicycle",))),
)

TEXT_TO_VIDEO = Task(
    name="text-to-video",
    answer="data URI of the video, or a file path if output_dir is set",
    makes=Kind.VIDEO,
    explain="media type and size in bytes",
    inputs=(PROMPT,),
    parameters="TextToVideoParameters",
    encode=text_encoder(accept="*/*"),
    read=media_answers.media_reader("video", described=True),
    travel=Batching.ONE,
    default_model="Wan-AI/Wan2.1-T2V-1.3B",
    samples=makes_another,
    example=Example((("a boat on a lake",), ("falling leaves",))),
)

IMAGE_TO_VIDEO = Task(
    name="image-to-video",
    answer="data URI of the video, or a file path if output_dir is set",
    makes=Kind.VIDEO,
    explain="media type and size in bytes",
    inputs=(IMAGE, WISH),
    parameters="ImageToVideoParameters",
    encode=media_encoder(prompt="prompt", accept="*/*"),
    read=media_answers.media_reader("video", described=True),
    travel=Batching.ONE,
    default_model="Wan-AI/Wan2.1-I2V-14B-720P",
    samples=makes_another,
    example=Example(PICTURES, {"prompt": "slowly turning"}),
)
