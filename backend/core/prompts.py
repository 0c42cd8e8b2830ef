"""Turns a sample and a rubric into the words the model reads. Pure: no tokenizer, no image.

Everything that comes from a task is data. It is written as a JSON string, so that quotes and line
breaks cannot end it, and the delimiters of chat templates are broken up, so that a task cannot
open a turn of its own or claim to be an image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from unicodedata import category, normalize

from backend.core.types import Option, Question, TextField

PROMPT_VERSION = "2"
"""Part of the fingerprint: raise it whenever a rendered prompt changes."""

PAINTED = "painted"
"""Id of the question whether writing in the image speaks to the judge."""

YES_NO = (Option("yes", "Yes"), Option("no", "No"))

_QWEN = r"(?:tool_call|tool_response|think|object_ref|box|quad)\b"
_NAMED = r"(?:s|bos|eos|pad|unk|mask|cls|sep|image|img|video|audio|ref|slice|unit|sop|eop|global-img)>"
_NUMBERED = r"(?:loc|seg|unused|reserved)\d+>"
_JOINED = r"[a-z]\w{0,40}_\w{1,40}>"
"""`<start_of_turn>`, `<IMG_CONTEXT>`: a tag with an underscore is a token far more often than not."""
_BRACKETED = (
    r"(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT"
    r"|ARGS|CALL_ID|THINK|PREFIX|MIDDLE|SUFFIX|AUDIO|BEGIN_AUDIO|TRANSCRIBE|g?MASK|sMASK|CLS|SEP|PAD|UNK)\]"
)
_DELIMITER = re.compile(
    rf"<(?=\|)|(?<=\|)>|(?i:<(?=/?(?:{_QWEN}|{_NAMED}|{_NUMBERED}|{_JOINED}))|<(?=<?/?SYS>))|\[(?=/?{_BRACKETED})"
)
"""Of Qwen, ChatML, Llama, Phi, GLM, DeepSeek; Gemma, PaliGemma, InternVL, LLaVA, SmolVLM; Mistral."""


def neutralise(text: str) -> str:
    """Break up the delimiters of chat templates and special tokens, such as `<|im_end|>` or `[INST]`.

    Spelled in fullwidth letters, or with unseen or private-use characters within, they count as well: what reads the
    text later may fold or drop those. One character is put for one, ordinary text is unchanged, and twice is once.
    """
    shown, origin = _compatible(text)
    broken = list(text)
    for match in _DELIMITER.finditer(shown):
        at = origin[match.start()] if origin else match.start()
        broken[at] = "›" if match.group() == ">" else "‹"
    return "".join(broken)


def _compatible(text: str) -> tuple[str, list[int] | None]:
    """The text as NFKC spells each character it shows, and where each came from; None when nothing moved."""
    if text.isascii():
        return text, None
    spelled = ["" if category(character) in ("Cf", "Co") else normalize("NFKC", character) for character in text]
    return "".join(spelled), [index for index, part in enumerate(spelled) for _ in part]


def quote(text: str) -> str:
    """The text as a JSON string literal with its delimiters neutralised."""
    return json.dumps(neutralise(text), ensure_ascii=False)


def render_fields(texts: Sequence[TextField]) -> str:
    """The sample's texts, one line each: name, colon, JSON string. Ends with a line break when not empty."""
    return "".join(f"{neutralise(text.name)}: {quote(text.value)}\n" for text in texts)


def claim_question(number: int, template: str, claim: str) -> Question:
    """Ask whether the image supports one claim of the text; `template` holds `{claim}`."""
    return Question(id=f"claim:{number}", text=template.replace("{claim}", quote(claim)), options=YES_NO)


def word_question(claim: int, number: int, template: str, word: str, text: str) -> Question:
    """Ask whether one word of a claim is right; `template` holds `{word}` and `{claim}`."""
    filled = re.sub(r"\{(word|claim)\}", lambda match: quote(word if match.group(1) == "word" else text), template)
    return Question(id=f"word:{claim}:{number}", text=filled, options=YES_NO)
