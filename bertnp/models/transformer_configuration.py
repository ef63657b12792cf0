"""The configuration of an encoder-decoder Transformer."""

from bertnp.models.configuration import PreTrainedConfig


class TransformerConfig(PreTrainedConfig):
    """The sizes and switches of a Transformer; the defaults are the base model of Vaswani et al. 2017, table 3.

    vocab_size V: words of both languages or, with target_vocab_size, of the source alone
    target_vocab_size: words of the target, where it has a vocabulary and a table of its own; None: it shares the
      source's, as published
    hidden_size H (d_model), num_hidden_layers L (N, on either side), num_attention_heads A (h), intermediate_size I
      (d_ff). num_decoder_layers: where the decoder has another number of layers than the encoder; None: L
    hidden_act: f of the feed-forward layers, see `BertConfig`
    hidden_dropout_prob: dropout on what each sub-layer adds to its input, and on the embeddings. The paper has
      it nowhere else; attention_probs_dropout_prob is for those who want it on attention, too
    norm_first: LayerNorm before each sub-layer, on its input alone (pre-norm), with one more at the end of each side,
      in place of after each sum (post-norm, as published)
    tie_word_embeddings: the target's table also scores the words, as published
    label_smoothing: ε of the loss
    pad_token_id, bos_token_id, eos_token_id: padding, and what a target begins and ends with; [PAD], [CLS] and [SEP] in
      a vocabulary made by bertnp

    Raises TypeError or ValueError with one line for a value that makes no model.
    """

    model_type = "transformer"
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

    def __init__(
        self,
        vocab_size=37000,
        hidden_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        intermediate_size=2048,
        hidden_act="relu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        target_vocab_size=None,
        num_decoder_layers=None,
        norm_first=False,
        layer_norm_eps=1e-6,
        tie_word_embeddings=True,
        label_smoothing=0.1,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        architectures=None,
        **other,
    ):
        self.check_model_type(other)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.target_vocab_size = target_vocab_size
        self.num_decoder_layers = num_decoder_layers
        self.norm_first = norm_first
        self.layer_norm_eps = layer_norm_eps
        self.tie_word_embeddings = tie_word_embeddings
        self.label_smoothing = label_smoothing
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.architectures = architectures
        self.keep(other)
        self.validate()

    def validate(self):
        """Raise TypeError or ValueError, one line naming the key, if some value makes no model."""
        self.check_sizes()
        for key in ("target_vocab_size", "num_decoder_layers"):
            if getattr(self, key) is not None:
                self.check_size(key)
        self.check_shares("hidden_dropout_prob", "attention_probs_dropout_prob", "label_smoothing")
        self.check_positive("layer_norm_eps")
        self.check_switches("norm_first", "tie_word_embeddings")
        for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
            self.check_token(key, min(self.vocab_size, self.words_out))
        self.check_architectures()

    @property
    def words_out(self):
        """How many words the decoder reads and scores."""
        return self.target_vocab_size or self.vocab_size

    @property
    def initializer_range(self):
        """The standard deviation of fresh word embeddings, 1/√H: times √H they are as large as the positions."""
        return self.hidden_size**-0.5
