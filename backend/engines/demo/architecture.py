"""The embedded judge's tokenizer, image processor and configuration: Qwen2.5-VL, very small."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from backend.core.prompts import claim_question, render_fields, word_question
from backend.core.rubric import Rubric
from backend.core.types import TextField
from backend.engines.demo.examples import CORRUPTIONS, Example, make_example
from backend.engines.demo.world import random_scene

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig

CAPTION_FIELD, REQUESTED_FIELD = "caption", "requested"
"""Keys of the sample project's tasks; the judge was trained with these names in its prompt."""

VOCABULARY = 1024
"""At most; the prompts of this world need fewer."""
PIXELS = 112 * 140
"""Area of the picture the model sees."""

WIDTH_TOKENS, HEIGHT_TOKENS = 4, 5
"""Image tokens of 28 x 28 pixels each, after merging."""

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def text_fields(example: Example) -> tuple[TextField, ...]:
    """The example's texts as a task's fields."""
    requested = (TextField(REQUESTED_FIELD, example.requested, "requested"),) if example.requested else ()
    return (TextField(CAPTION_FIELD, example.caption), *requested)


def training_texts(rubric: Rubric, seed: int, count: int) -> list[str]:
    """Prompts and answers to learn the vocabulary from; without misspellings, so that those fall into pieces."""
    rng = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        example = make_example(
            random_scene(rng), rng.choice([kind for kind in CORRUPTIONS if kind != "misspelled"]), rng
        )
        if example is None:
            continue
        piece = rng.choice(example.claims)
        lines = [
            render_fields(text_fields(example)),
            *(rubric.question(criterion).text for criterion in rubric.criteria),
            *(claim_question(i, rubric.checks.claim, claim.text).text for i, claim in enumerate(example.claims)),
            *(
                word_question(0, i, rubric.checks.word, word, piece.text).text
                for i, word in enumerate(piece.text.split())
            ),
            "Yes\nNo\n1\n2\n3\n4\n5\nuser\nassistant\nsystem\n",
        ]
        texts.append("\n".join(lines))
    return texts


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer in Qwen2's form, trained on the texts."""
    import json

    from tokenizers import Tokenizer, trainers
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    seed = Qwen2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    trainable = Tokenizer(BPE())
    trainable.normalizer = seed.backend_tokenizer.normalizer
    trainable.pre_tokenizer = seed.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL_TOKENS), initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    trainable.train_from_iterator(texts, trainer)
    learned = json.loads(trainable.to_str())["model"]
    vocab = dict(learned["vocab"])
    merges: list[Any] = [tuple(merge) for merge in learned["merges"]]
    for token in SPECIAL_TOKENS:
        vocab.setdefault(token, len(vocab))
    return Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        extra_special_tokens=list(SPECIAL_TOKENS),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def build_image_processor() -> Any:
    """Qwen2-VL's image processor on its PIL backend, for one picture size."""
    from transformers import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(size={"shortest_edge": PIXELS, "longest_edge": PIXELS})


def build_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """About 3 million parameters; every vision block attends to the whole picture."""
    from transformers import Qwen2_5_VLConfig

    ids: dict[str, Any] = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    hidden, depth = 192, 3
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 8, 8]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": depth,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_heads": 4,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": list(range(depth)),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
