"""The messages between the app and the GGUF worker. See `training.contract.messages`.

The app sends ConvertModel, ConvertAdapter and QuantizeModel. The worker answers each with Loading while it starts,
a Writing for each part that is written, and with Converted, AdapterConverted or Quantized.

The requests name the programs of llama.cpp. The app finds them in the settings, on PATH or where it installed them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from training.contract.event_base import Count
from training.contract.messages import Loading, Message, WorkerError, WorkerProtocol

FloatType = Literal["f32", "f16", "bf16"]
FLOAT_TYPES: tuple[FloatType, ...] = ("f32", "f16", "bf16")

QUANTS = {
    "q8_0": 7, "q6_k": 18, "q5_k_m": 17, "q5_k_s": 16, "q5_0": 8, "q4_k_m": 15, "q4_k_s": 14, "q4_0": 2, "iq4_nl": 25,
    "iq4_xs": 30, "q3_k_l": 13, "q3_k_m": 12, "q3_k_s": 11, "q2_k": 10,
}  # fmt: skip
"""The quantised types of llama.cpp that need no importance matrix, with their number in its enum llama_ftype."""


class TokenSample(msgspec.Struct):
    """A text and its tokens, without those that a tokenizer adds by itself. `own`: it is of the run's dataset."""

    text: str
    ids: list[int]
    own: bool = False


class ConvertModel(Message, tag="convert"):
    """Asks to write the model in the folder `model` as GGUF to `out`. `tokenizer` is the folder with the tokenizer of
    `run`, against which the vocabulary in the file is checked. `texts` are tokenised for the answer, and some of the
    run's dataset."""

    converter: str
    model: str
    run: str
    tokenizer: str
    out: str
    float_type: FloatType
    texts: list[str] = []


class ConvertAdapter(Message, tag="adapter"):
    """Asks to write the adapter in the folder `adapter` as GGUF to `out`. `base` is its base model: a folder, a name on
    the Hub, or the name of the demo model. Only the base's configuration is read."""

    converter: str
    base: str
    adapter: str
    out: str


class QuantizeModel(Message, tag="quantize"):
    """Asks to write `source` in another type to `out`. `quantizer` is llama-quantize, or the library of llama.cpp."""

    quantizer: str
    source: str
    out: str
    quant: str


class Writing(Message, tag="writing"):
    """`done` of `total` bytes are written; while quantising, of the source."""

    more_follows = True
    done: Count
    total: Count


class Converted(Message, tag="converted"):
    """The file is written, and its vocabulary, special tokens and template are those of the run's tokenizer.

    `pre_tokenizer` is the rule by which llama.cpp splits a text. `known`: the converter recognised the tokenizer. If
    it did not, the rule was chosen by the tokenizer's structure. In any case `samples` show whether it is right.
    """

    pre_tokenizer: str
    known: bool
    samples: list[TokenSample]


class AdapterConverted(Message, tag="adapter_converted"):
    pass


class Quantized(Message, tag="quantized"):
    """The file is written. `fallbacks` counts those of its `tensors` that have another type, because their rows can't
    be divided into blocks of the type that was asked for."""

    fallbacks: Count
    tensors: Count


GgufRequest = ConvertModel | ConvertAdapter | QuantizeModel
GgufAnswer = Loading | Writing | Converted | AdapterConverted | Quantized | WorkerError

GGUF: WorkerProtocol[GgufRequest, GgufAnswer] = WorkerProtocol("gguf", GgufRequest, GgufAnswer)
