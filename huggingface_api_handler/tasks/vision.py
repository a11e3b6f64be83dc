"""Image and video tasks: classification, detection, questions and generation."""

from __future__ import annotations

from . import answers, media_answers, samples
from .generation import LONGEST, PROMPT
from .task import Arguments, Example, Input, Kind, Task
from .text import CANDIDATES, LABELS

IMAGE = Input("input_column", Kind.IMAGE, "the image", aliases=("image_column", "column"))
VIDEO = Input("input_column", Kind.VIDEO, "the video", aliases=("column",))
PROMPTED = Input("prompt_column", Kind.TEXT, "a description of the result", required=False, constant="prompt")
IMAGE_QUESTION = Input("question_column", Kind.TEXT, "the question", constant="question")

IMAGES = ((samples.png(b"one"),), (samples.png(b"two"),))
DISCS = ((samples.spot(205, 45, 45),), (samples.spot(45, 90, 170),))
VIDEOS = ((samples.avi(b"one"),), (samples.avi(b"two"),))


def is_sampled(args: Arguments) -> bool:
    """Return whether the service samples: it does unless a seed is given."""
    return args.parameters.get("seed") is None


# --- classification, detection, captions -----------------------------------------------------

IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    answer="the label with the highest score",
    explain="all returned labels with their scores",
    inputs=(IMAGE,),
    arguments=(LABELS,),
    parameters="ImageClassificationParameters",
    decode=answers.labels_answer,
    default_model="google/vit-base-patch16-224",
    example=Example(IMAGES),
)

OBJECT_DETECTION = Task(
    name="object-detection",
    answer="JSON list of label, score and box, highest score first",
    explain="number of objects per label",
    inputs=(IMAGE,),
    parameters="ObjectDetectionParameters",
    decode=answers.detections_answer,
    default_model="facebook/detr-resnet-50",
    example=Example(DISCS),
)

ZERO_SHOT_OBJECT_DETECTION = Task(
    name="zero-shot-object-detection",
    answer="JSON list of label, score and box, highest score first",
    explain="number of objects per label",
    inputs=(IMAGE,),
    arguments=(CANDIDATES,),
    parameters="ZeroShotObjectDetectionParameters",
    decode=answers.detections_answer,
    default_model="google/owlv2-base-patch16-ensemble",
    example=Example(DISCS, {"candidate_labels": ["red ball", "blue ball"]}),
)

IMAGE_SEGMENTATION = Task(
    name="image-segmentation",
    large=True,
    answer="JSON list of label, score and mask (a data URI)",
    explain="number of segments per label",
    inputs=(IMAGE,),
    parameters="ImageSegmentationParameters",
    decode=media_answers.segments_answer,
    default_model="nvidia/segformer-b0-finetuned-ade-512-512",
    example=Example(DISCS),
)

IMAGE_TO_TEXT = Task(
    name="image-to-text",
    answer="the caption",
    inputs=(IMAGE,),
    arguments=(LONGEST,),
    parameters="ImageToTextParameters",
    decode=answers.text_decoder("generated_text"),
    default_model="Salesforce/blip-image-captioning-base",
    pipeline_tags=("image-text-to-text",),
    example=Example(IMAGES),
)

ZERO_SHOT_IMAGE_CLASSIFICATION = Task(
    name="zero-shot-image-classification",
    answer="the label with the highest score",
    explain="all candidate labels with their scores",
    inputs=(IMAGE,),
    arguments=(CANDIDATES,),
    parameters="ZeroShotImageClassificationParameters",
    decode=answers.labels_answer,
    default_model="openai/clip-vit-large-patch14-336",
    example=Example(IMAGES, {"candidate_labels": ["cat", "dog"]}),
)

VIDEO_CLASSIFICATION = Task(
    name="video-classification",
    answer="the label with the highest score",
    explain="all returned labels with their scores",
    inputs=(VIDEO,),
    arguments=(LABELS,),
    parameters="VideoClassificationParameters",
    decode=answers.labels_answer,
    default_model="MCG-NJU/videomae-base-finetuned-kinetics",
    example=Example(VIDEOS),
)

# --- questions -------------------------------------------------------------------------------

VISUAL_QUESTION_ANSWERING = Task(
    name="visual-question-answering",
    answer="the answer with the highest score",
    explain="all answers with their scores",
    inputs=(IMAGE, IMAGE_QUESTION),
    parameters="VisualQuestionAnsweringParameters",
    decode=answers.all_answers,
    default_model="dandelin/vilt-b32-finetuned-vqa",
    pipeline_tags=("image-text-to-text",),
    example=Example(tuple((*row, "What colour is it?") for row in IMAGES)),
)

DOCUMENT_QUESTION_ANSWERING = Task(
    name="document-question-answering",
    answer="the answer with the highest score",
    explain="all answers with their scores",
    inputs=(IMAGE, IMAGE_QUESTION),
    parameters="DocumentQuestionAnsweringParameters",
    decode=answers.all_answers,
    default_model="impira/layoutlm-document-qa",
    pipeline_tags=("visual-question-answering", "image-to-text", "image-text-to-text"),
    example=Example(tuple((*row, "What is the total?") for row in IMAGES)),
)

# --- generation ------------------------------------------------------------------------------

DEPTH_ESTIMATION = Task(
    name="depth-estimation",
    large=True,
    answer="data URI of the depth image",
    inputs=(IMAGE,),
    decode=media_answers.media_decoder("image", described=False),
    default_model="depth-anything/Depth-Anything-V2-Small-hf",
    example=Example(IMAGES),
)

IMAGE_TO_IMAGE = Task(
    name="image-to-image",
    large=True,
    answer="data URI of the new image",
    inputs=(IMAGE, PROMPTED),
    parameters="ImageToImageParameters",
    decode=media_answers.media_decoder("image", described=False),
    default_model="black-forest-labs/FLUX.1-Kontext-dev",
    samples=is_sampled,
    example=Example(IMAGES, {"prompt": "make it blue"}),
)

TEXT_TO_IMAGE = Task(
    name="text-to-image",
    answer="data URI of the image, or a file path if output_dir is set",
    makes=Kind.IMAGE,
    explain="media type and size in bytes",
    inputs=(PROMPT,),
    parameters="TextToImageParameters",
    decode=media_answers.media_decoder("image", described=True),
    default_model="black-forest-labs/FLUX.1-dev",
    samples=is_sampled,
    example=Example((("a hut by the sea",), ("a red bicycle",))),
)

TEXT_TO_VIDEO = Task(
    name="text-to-video",
    answer="data URI of the video, or a file path if output_dir is set",
    makes=Kind.VIDEO,
    explain="media type and size in bytes",
    inputs=(PROMPT,),
    parameters="TextToVideoParameters",
    decode=media_answers.media_decoder("video", described=True),
    default_model="Wan-AI/Wan2.1-T2V-1.3B",
    samples=is_sampled,
    example=Example((("a boat on a lake",), ("falling leaves",))),
)

IMAGE_TO_VIDEO = Task(
    name="image-to-video",
    answer="data URI of the video, or a file path if output_dir is set",
    makes=Kind.VIDEO,
    explain="media type and size in bytes",
    inputs=(IMAGE, PROMPTED),
    parameters="ImageToVideoParameters",
    decode=media_answers.media_decoder("video", described=True),
    default_model="Wan-AI/Wan2.1-I2V-14B-720P",
    samples=is_sampled,
    example=Example(IMAGES, {"prompt": "slowly turning"}),
)
