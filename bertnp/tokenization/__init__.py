"""Text to token ids and back."""

from bertnp.tokenization.added_tokens import AddedToken
from bertnp.tokenization.encoding import BatchEncoding
from bertnp.tokenization.pairs import PairTokenizer
from bertnp.tokenization.tokenizer import BertTokenizer
from bertnp.tokenization.vocabulary_training import count_words, train_vocabulary

__all__ = ["AddedToken", "BatchEncoding", "BertTokenizer", "PairTokenizer", "count_words", "train_vocabulary"]
