"""The names of the files that belong to a model beside its weights, as patterns."""

TOKENIZER_FILES = (
    "tokenizer*.json", "tokenizer.model*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt",
    "*.tiktoken", "spiece.model", "sentencepiece*.model", "chat_template.jinja", "additional_chat_templates/*.jinja",
)  # fmt: skip
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*", "USE_POLICY*")
