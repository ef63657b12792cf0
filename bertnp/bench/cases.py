"""What is measured: sizes, batches, and the goals that the project has set itself."""

from dataclasses import dataclass, field, replace

BASE = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072}  # fmt: skip
MINILM = {"vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
          "intermediate_size": 1536}  # fmt: skip
SMALL = {"vocab_size": 8000, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
         "intermediate_size": 1024}  # fmt: skip

TORCH, COMPILED, ONNX, TEXTBOOK = "torch", "torch-compiled", "onnx", "textbook"
TOKENIZERS, TOKENIZERS_SINGLE = "tokenizers", "tokenizers-single"
SIDES = {  # name -> (module that runs it, its name in full)
    "bertnp": ("ours", "bertnp"),
    TEXTBOOK: ("ours", "bertnp, textbook bodies"),
    TORCH: ("torch_peer", "transformers + PyTorch"),
    COMPILED: ("torch_peer", "transformers + PyTorch, compiled"),
    ONNX: ("onnx_peer", "ONNX Runtime"),
    TOKENIZERS: ("tokenizers_peer", "tokenizers, in one batch"),
    TOKENIZERS_SINGLE: ("tokenizers_peer", "tokenizers, line by line"),
}


@dataclass(frozen=True)
class Case:
    """One kind of work.

    kind: "pretraining", "fine-tuning" (both training steps), "inference", "sentences" or "tokenizing"
    config: sizes of the model   batch_size, length: B and S; with real lengths, S is None
    count: batches that make one run, or lines to tokenize   sides: whom bertnp is compared with
    goals: {side: the ratio theirs / ours to reach}   memory: the goal for the ratio ours / theirs of peak memory
    share: the goal for the share of the peak of matrix products
    device, precision: where, and in which numbers: "fp32", "tf32" or "bf16"
    """

    name: str
    title: str
    kind: str
    config: dict = field(default_factory=dict)
    batch_size: int = 1
    length: int | None = None
    count: int = 1
    sides: tuple = ()
    goals: dict = field(default_factory=dict)
    memory: float | None = None
    share: float | None = None
    device: str = "cpu"
    precision: str = "fp32"


TRAINING_SIDES = (TORCH, COMPILED, TEXTBOOK)
INFERENCE_SIDES = (TORCH, COMPILED, ONNX, TEXTBOOK)

CASES = (
    Case("training-step", "BERT-base training step, 8 × 128 tokens: masked words and next sentence, dropout, AdamW, "
         "clipping", "pretraining", BASE, 8, 128, sides=TRAINING_SIDES, goals={TORCH: 2.7}, memory=0.65, share=0.75),
    Case("fine-tuning", "MiniLM-L6 fine-tuning, batches of 32 sentences", "fine-tuning", MINILM, 32, None, 8,
         sides=(TORCH, TEXTBOOK), goals={TORCH: 4.0}),
    Case("pretraining", "Pre-training a small BERT (L = 4, H = 256), 32 × 128 tokens", "pretraining", SMALL, 32, 128, 2,
         sides=TRAINING_SIDES, goals={TORCH: 2.5}),
    Case("inference-8x128", "BERT-base inference, 8 × 128 tokens", "inference", BASE, 8, 128, sides=INFERENCE_SIDES,
         goals={TORCH: 2.0, ONNX: 1.0}),
    Case("inference-1x128", "BERT-base inference, 1 × 128 tokens", "inference", BASE, 1, 128, sides=INFERENCE_SIDES,
         goals={TORCH: 1.7, ONNX: 0.8}),
    Case("inference-1x16", "BERT-base inference, 1 × 16 tokens", "inference", BASE, 1, 16, sides=INFERENCE_SIDES,
         goals={TORCH: 1.7, ONNX: 0.7}),
    Case("sentences", "BERT-base inference, 256 sentences in batches of 64", "sentences", BASE, 64, None, 4,
         sides=(TORCH, ONNX, TEXTBOOK), goals={TORCH: 3.5, ONNX: 1.8}),
    Case("tokenizing", "Tokenizing novels, ids only, one thread", "tokenizing", count=50_000,
         sides=(TOKENIZERS, TOKENIZERS_SINGLE), goals={TOKENIZERS: 3.0, TOKENIZERS_SINGLE: 3.0}),
)  # fmt: skip


QUICK = ("training-step", "inference-8x128", "inference-1x16", "tokenizing")


def quick(case):
    """The same kind of work in small, and without the sides that take long to get ready."""
    sides = tuple(side for side in case.sides if side in (TORCH, TOKENIZERS, TEXTBOOK))
    smaller = replace(case, title=f"{case.title} (in small)", sides=sides, goals={}, memory=None, share=None)
    if case.kind == "tokenizing":
        return replace(smaller, count=3000)
    config = {**SMALL, "num_hidden_layers": 2}
    return replace(smaller, config=config, batch_size=min(case.batch_size, 16), count=min(case.count, 4))


def operations(case, lengths, labelled=0):
    """Additions and multiplications that the work needs: those of the matrix products, over the real tokens only.

    A token takes 2 (4 H² + 2 H I) in each layer and 4 n H for attention among n tokens, the pooler 2 H² a sequence, a
    masked word 2 (H² + H V). Backward takes twice what forward takes.

    lengths: real tokens of each sequence   labelled: masked words
    """
    H, I = case.config["hidden_size"], case.config["intermediate_size"]
    L, V = case.config["num_hidden_layers"], case.config["vocab_size"]
    layers = L * sum(n * 2 * (4 * H * H + 2 * H * I) + 4 * n * n * H for n in map(int, lengths))
    forward = layers + len(lengths) * 2 * H * H + labelled * 2 * (H * H + H * V)
    return forward * (3 if case.kind in ("pretraining", "fine-tuning") else 1)
