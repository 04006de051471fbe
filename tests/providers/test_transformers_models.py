"""Where the provider `transformers` finds models, and what it says when there is none."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from llmattn.errors import ConfigError, ProviderRejected
from llmattn.plugins import load_plugins
from llmattn.rows import Row, prefix_rows
from llmattn.settings import resolve
from llmattn_transformers.first_line import first_line
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.settings import TransformersSettings
from support_transformers import PIECES, provider_of, save_model
from support_trust import Stranger
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def gguf(path: Path, pairs: dict[str, str | int], *, version: int = 3) -> Path:
    """A GGUF file of a description alone."""
    data = struct.pack("<4sIQQ", b"GGUF", version, 0, len(pairs))
    for key, value in pairs.items():
        data += struct.pack("<Q", len(key)) + key.encode()
        if isinstance(value, int):
            data += struct.pack("<II", 4, value)
        else:
            data += struct.pack("<IQ", 8, len(value)) + value.encode()
    path.write_bytes(data)
    return path


def test_a_gguf_file_tells_its_layers_and_heads_without_being_loaded(tmp_path: Path) -> None:
    described: dict[str, str | int] = {
        "general.architecture": "llama",
        "llama.block_count": 3,
        "llama.attention.head_count": 2,
    }
    provider = provider_of(gguf(tmp_path / "small.gguf", described), channels="heads")
    assert provider.channels == ("L00H0", "L00H1", "L01H0", "L01H1", "L02H0", "L02H1")
    assert dict(provider.identity().details)["model"] == "small.gguf"


def test_a_file_that_is_no_gguf_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"something else, and long enough to read")
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        provider_of(file)


def test_a_cut_gguf_file_is_an_error(tmp_path: Path) -> None:
    file = gguf(tmp_path / "cut.gguf", {"general.architecture": "llama"})
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ConfigError, match="damaged"):
        provider_of(file)


def test_a_gguf_file_of_another_version_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="version 1"):
        provider_of(gguf(tmp_path / "old.gguf", {}, version=1))


def test_a_gguf_file_without_layers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no language model with attention"):
        provider_of(gguf(tmp_path / "other.gguf", {"general.architecture": "clip"}))


@pytest.mark.parametrize("name", ["missing.gguf", "./missing", "/nowhere/model"])
def test_a_path_without_a_model_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="no model at"):
        TransformersProvider(TransformersSettings(model=name))


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        provider_of(tmp_path)


def test_an_unknown_hub_id_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(ConfigError, match="no model can be found as 'nobody/nothing'"):
        TransformersProvider(TransformersSettings(model="nobody/nothing"))


def test_a_sentence_encoder_has_no_attention_to_give(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no causal language model"):
        provider_of(tmp_path)
    assert provider_of(tmp_path, method="embedding").channels == ("cosine",)


@pytest.mark.parametrize("method", ["attention", "copy", "ablation", "gradient"])
def test_a_model_that_reads_both_ways_is_found_out_whatever_its_name(
    tmp_path: Path, method: str
) -> None:
    provider = provider_of(save_model(tmp_path, "bert"), method=method)
    with pytest.raises(ProviderRejected, match="reads what comes after a word"):
        asyncio.run(provider.score(prefix_rows(PIECES)))


def test_such_a_model_still_has_embeddings(tmp_path: Path) -> None:
    provider = provider_of(save_model(tmp_path, "bert"), method="embedding")
    (scores,) = asyncio.run(provider.score([Row("cat", ["cat", "dog"])])).scores
    assert scores[0, 0] > scores[0, 1]


def test_an_error_without_a_text_is_told_by_its_type() -> None:
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(OSError("No such file.\nTry another.")) == "No such file"


def test_a_tokenizer_that_adds_a_space_adds_none_to_a_piece() -> None:
    words = ["<unk>", "<s>", "▁", "▁cat", "cat", "\n", "▁a", "a"]
    whole = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    whole.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Split("\n", "isolated")]
    )
    kind: Any = PreTrainedTokenizerFast
    encoder = PieceEncoder(kind(tokenizer_object=whole, bos_token="<s>"))
    ids = encoder.encode(["cat", " cat"]).ids
    assert [words[n] for n in ids] == ["<s>", "cat", "▁cat"]


def test_special_tokens_written_in_a_text_are_ordinary_letters(tmp_path: Path) -> None:
    encoder = PieceEncoder(AutoTokenizer.from_pretrained(save_model(tmp_path)))
    assert encoder.start not in encoder.encode(["<s>"]).ids[1:]


def test_the_plugin_is_found_and_needs_no_settings() -> None:
    registered = load_plugins().provider("transformers")
    assert registered.distribution == "llmattn-transformers"
    assert resolve(registered.settings, owner="transformers", options={}, environ={})


def test_a_model_in_a_folder_is_loaded_without_a_word_to_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path)
    with Stranger() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        provider = provider_of(tmp_path)
        asyncio.run(provider.score(prefix_rows(["the", "cat"])))
        assert not hub.seen
