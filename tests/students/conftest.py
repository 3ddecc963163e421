"""Small data and a small pretrained encoder, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metier.students import LabelledTexts

TOPICS = {
    "weather": "rain sun snow storm cloud wind forecast temperature umbrella sky",
    "money": "bank account balance transfer loan credit debit payment invoice card",
    "food": "pizza recipe cook oven salad lunch dinner cheese bread soup",
    "travel": "flight hotel train ticket luggage airport passport visa trip map",
}
FILLER = "please can you tell me about the my a what is for today now show"


def make_texts(n_per_class: int, seed: int, topics: dict[str, str] = TOPICS) -> LabelledTexts:
    """Short requests whose topic words give the label away."""
    generator = np.random.default_rng(seed)
    inputs, labels = [], []
    for label, words in topics.items():
        for _ in range(n_per_class):
            chosen = list(generator.choice(words.split(), 2)) + list(generator.choice(FILLER.split(), 4))
            generator.shuffle(chosen)
            inputs.append(" ".join(chosen))
            labels.append(label)
    return LabelledTexts(tuple(inputs), tuple(labels))


@pytest.fixture(scope="session")
def train_texts() -> LabelledTexts:
    return make_texts(40, seed=0)


@pytest.fixture(scope="session")
def tune_texts() -> LabelledTexts:
    return make_texts(15, seed=1)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and width 32 with random weights, in Hugging Face layout."""
    torch = pytest.importorskip("torch", reason="needs the [train] extra")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-base")
    words = sorted({*FILLER.split(), *" ".join(TOPICS.values()).split()})
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    return folder
