"""Text to token ids and back."""

from bertnp.tokenization.added_tokens import AddedToken
from bertnp.tokenization.encoding import BatchEncoding
from bertnp.tokenization.tokenizer import BertTokenizer

__all__ = ["AddedToken", "BatchEncoding", "BertTokenizer"]
