"""Credentials of URLs and tokens are taken out of every text, however long it is."""

from __future__ import annotations

import time

import pytest

from training.contract.secrets import has_secret, redact_secrets

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://user:s3cret@host.invalid/x.jsonl", "https://…@host.invalid/x.jsonl"),
        ("https://s3cret@host.invalid/x", "https://…@host.invalid/x"),
        ("https://user:s3c@ret@host.invalid/x", "https://…@host.invalid/x"),
        ("https://user:s3/cret@host.invalid/x", "https://…@host.invalid/x"),
        ("/home/me/https:/user:s3cret@host.invalid/x", "/home/me/https:/…@host.invalid/x"),  # as pathlib writes it
        ("s3://key:s3cret@bucket/x, then ftp://a:s3cret@b/c", "s3://…@bucket/x, then ftp://…@b/c"),
        ("ssh://me:s3cret@box:2222", "ssh://…@box:2222"),
        ("http://proxy:s3cret@10.0.0.1:8080 refuses", "http://…@10.0.0.1:8080 refuses"),
        (f"https://h.invalid/x?token={TOKEN}", "https://h.invalid/x?token=…"),
        ("https://h.invalid/x?a=1&access_token=s3cret&b=2#c", "https://h.invalid/x?a=1&access_token=…&b=2#c"),
        ("https://h.invalid/x?X-Amz-Signature=s3cret&X-Amz-Credential=s3cret", "https://h.invalid/x?X-Amz-Signature=…&X-Amz-Credential=…"),
        ("https://h.invalid/x?sv=2022&sig=s3cret%3D", "https://h.invalid/x?sv=2022&sig=…"),
        ("https://h.invalid/x?api_key=s3cret;PASSWORD=s3cret", "https://h.invalid/x?api_key=…;PASSWORD=…"),
        ("rows.jsonl?token=s3cret", "rows.jsonl?token=…"),
        (f"401 for {TOKEN}.", "401 for hf_…."),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_and_the_rest_stays(text: str, redacted: str) -> None:
    assert has_secret(text)
    assert redact_secrets(text) == redacted
    assert "s3c" not in redacted
    assert redact_secrets(redacted) == redacted


def test_a_long_value_may_be_a_token_so_it_is_hidden_but_not_refused() -> None:
    text = "https://h.invalid/x?id=AbCdEfGh1234567890s3cret&page=2"
    assert redact_secrets(text) == "https://h.invalid/x?id=…&page=2"
    assert not has_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/datasets/me/rows?download=true&page=2",
        "https://example.invalid:8080/@user/x",
        "Use ssh://me@203.0.113.7:2222, or ssh://box.",
        "me@example.invalid wrote to you@example.invalid",
        "data/*.jsonl, a?b=c, C:/x@y, 12:30:00 at a@b",
        "key = value; token=5",
        "What is 1 + 1? x = 2 & key = 3",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert not has_secret(text)
    assert redact_secrets(text) == text


@pytest.mark.parametrize("part", ["a://", "aa:/x", "?token", "?a=", "&a=a1", "x@", "aa://a:b/", "?key=x&", "hf_"])
def test_a_long_text_takes_no_time(part: str) -> None:
    began = time.process_time()
    redact_secrets(part * 100_000)
    assert time.process_time() - began < 10
