"""Chat templates in the manner of well-known models, each with a tokenizer that has its special tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.dataset.rows import read
from training.dataset.source import DEMO_DATASET, local

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}
{{- raise_exception('System role not supported') }}{% endif %}
{%- for message in messages -%}
{%- if (message.role == "user") != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Roles must alternate') }}{%- endif -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}{{ message.content | trim -}}
{{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""

# The system message and the tools come in the newest question only.
MISTRAL = """{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}
{%- else %}{% set rest = messages %}{% endif -%}
{%- set questions = rest | selectattr('role', 'equalto', 'user') | list -%}
{{ bos_token }}
{%- for message in rest -%}
{%- if message.role == 'user' -%}
{%- if tools and message == questions[-1] -%}
{{ '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif -%}
{%- if loop.last and system is defined -%}{{ '[INST] ' + system + '\n\n' + message.content + '[/INST]' }}
{%- else -%}{{ '[INST] ' + message.content + '[/INST]' }}{%- endif -%}
{%- elif message.tool_calls -%}
{{ '[TOOL_CALLS] ' + (message.tool_calls | map(attribute='function') | list | tojson) + eos_token }}
{%- elif message.role == 'assistant' -%}{{ ' ' + message.content + eos_token }}
{%- elif message.role == 'tool' -%}{{ '[TOOL_RESULTS] ' + message.content + '[/TOOL_RESULTS]' }}
{%- endif -%}
{%- endfor -%}"""

CHATML = """{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""

LLAMA_3 = """{{ bos_token }}
{%- if tools -%}
{{ '<|start_header_id|>system<|end_header_id|>\n\nTools: ' + tools | tojson + '<|eot_id|>' }}{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{ '<|start_header_id|>ipython<|end_header_id|>\n\n' + message.content | tojson + '<|eot_id|>' }}
{%- elif message.tool_calls -%}
{%- set call = message.tool_calls[0].function -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call.name + '", "parameters": ' }}
{{- call.arguments | tojson + '}<|eot_id|>' }}
{%- else -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"""

# The answers before the last question lose their reasoning; the newest one has <think> even if it has no reasoning.
QWEN_3 = """{%- if tools -%}{{ '<|im_start|>system\n<tools>' + tools | tojson + '</tools><|im_end|>\n' }}{%- endif -%}
{%- set place = namespace(question=0) -%}
{%- for message in messages -%}{%- if message.role == 'user' -%}{%- set place.question = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- set content = message.content if message.content is string else '' -%}
{%- if message.role == 'assistant' -%}
{%- set reasoning = '' -%}
{%- if message.reasoning_content is string -%}{%- set reasoning = message.reasoning_content -%}
{%- elif '</think>' in content -%}
{%- set reasoning = content.split('</think>')[0].split('<think>')[-1].strip('\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\n') -%}
{%- endif -%}
{{ '<|im_start|>assistant\n' }}
{%- if loop.index0 > place.question and (loop.last or reasoning) -%}
{{ '<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' }}
{%- endif -%}
{{ content }}
{%- for call in message.tool_calls or [] -%}
{{ '\n<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\n' }}
{%- elif message.role == 'tool' -%}
{{ '<|im_start|>user\n<tool_response>\n' + content + '\n</tool_response><|im_end|>\n' }}
{%- else -%}{{ '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""

# Every answer loses its reasoning, and the prompt for an answer begins with <think>.
R1 = """{{ bos_token }}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{ '<|User|>' + message.content }}
{%- elif message.role == 'assistant' -%}{{ '<|Assistant|>' + message.content.split('</think>')[-1] + eos_token }}
{%- else -%}{{ message.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|Assistant|><think>\n' }}{%- endif -%}"""

GENERATION = """{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' -%}
{% generation %}{{ message.content + '<|im_end|>\n' }}{% endgeneration %}
{%- else -%}{{ message.content + '<|im_end|>\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""

# The end-of-text token comes once, after the last message.
PHI_3 = """{%- for message in messages -%}
{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- else -%}{{ eos_token }}{%- endif -%}"""

ENDLESS = """{%- for message in messages -%}{{ message.role + ': ' + message.content + '\n' }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'assistant: ' }}{%- endif -%}"""


@dataclass(frozen=True)
class Style:
    """A chat template, its special tokens (the first begins a text, the second ends it), and the texts before a
    question and before an answer."""

    template: str
    special: tuple[str, ...]
    question: str
    answer: str
    spaces: str = "bytes"  # or "metaspace", as in SentencePiece


_HEADERS = "<|start_header_id|>", "<|end_header_id|>"
_IM = "<|im_start|>user\n", "<|im_start|>assistant\n"
STYLES = {
    "gemma": Style(GEMMA, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
                   "<start_of_turn>user\n", "<start_of_turn>model\n"),
    "mistral": Style(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
                               "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
                     "[INST]", "[/INST]", "metaspace"),
    "chatml": Style(CHATML, ("<|endoftext|>", "<|im_end|>", "<|im_start|>"), *_IM),
    "llama-3": Style(LLAMA_3, ("<|begin_of_text|>", "<|eot_id|>", *_HEADERS),
                     "<|start_header_id|>user<|end_header_id|>\n\n",
                     "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "qwen-3": Style(QWEN_3, ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<think>", "</think>"), *_IM),
    "r1": Style(R1, ("<|begin|>", "<|end_of_sentence|>", "<|User|>", "<|Assistant|>", "<think>", "</think>"),
                "<|User|>", "<|Assistant|>"),
    "generation": Style(GENERATION, ("<|endoftext|>", "<|im_end|>", "<|im_start|>"), *_IM),
    "phi-3": Style(PHI_3, ("<s>", "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
                   "<|user|>\n", "<|assistant|>\n"),
    "endless": Style(ENDLESS, ("<s>", "</s>"), "user: ", "assistant: "),
}  # fmt: skip


def build_tokenizer(style: Style) -> PreTrainedTokenizerFast:
    """Train a small tokenizer on the shipped sample, with the special tokens and the chat template of `style`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    if style.spaces == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        alphabet = ["\n", *map(chr, range(33, 127))]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [message["content"] for row in read(local(DEMO_DATASET)).rows for message in row.messages]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1024,
            special_tokens=["<unk>", *style.special],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    begin, end, *_ = style.special
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, unk_token="<unk>", pad_token="<unk>"
    )
    fast.chat_template = style.template
    return fast


def build_with_bos(style: Style) -> PreTrainedTokenizerFast:
    """The tokenizer of `style`, which also begins each text with its first token, as that of Llama 3 does."""
    from tokenizers.processors import TemplateProcessing

    fast = build_tokenizer(style)
    begin = style.special[0]
    fast.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, fast.convert_tokens_to_ids(begin))]
    )
    return fast


def build_of_bytes(style: Style) -> PreTrainedTokenizer:
    """A tokenizer in Python, which does not tell the characters of its tokens. Each byte is a token."""
    from transformers import AddedToken, ByT5Tokenizer

    begin, end, *others = (AddedToken(token, special=True, normalized=False) for token in style.special)
    slow = ByT5Tokenizer(eos_token=end, bos_token=begin, extra_ids=0)
    slow.add_tokens([begin, *others], special_tokens=True)
    slow.chat_template = style.template
    return slow


def build_of_pieces(style: Style) -> PreTrainedTokenizer:
    """A SentencePiece tokenizer in Python, trained on the shipped sample."""
    folder = Path(tempfile.mkdtemp(dir="."))
    import sentencepiece
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    texts = [message["content"] for row in read(local(DEMO_DATASET)).rows for message in row.messages]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "pieces"), vocab_size=600, model_type="bpe",
        byte_fallback=True, user_defined_symbols=["\n"], minloglevel=2,
    )  # fmt: skip
    begin, end, *others = style.special
    slow = SentencePieceBackend(
        vocab_file=str(folder / "pieces.model"), bos_token=begin, eos_token=end, unk_token="<unk>", legacy=False
    )
    slow.add_tokens([begin, end, *others], special_tokens=True)
    slow.chat_template = style.template
    return slow


BUILDERS: dict[str, Callable[[Style], Any]] = {
    "": build_tokenizer, "with BOS": build_with_bos, "of bytes": build_of_bytes, "of pieces": build_of_pieces,
}  # fmt: skip
