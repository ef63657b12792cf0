# %% [markdown]
# # 15 · Real weights: every layer against the published model
#
# Needs: chapters 02, 03, 04, 06, 07, 09, 11 and 12. Runtime: 3 seconds.
#
# **What you will understand.** What is in the files in which BERTs are published, byte by byte; what their tensors are
# called, then and now, and which way round they lie; the few conventions on which two programs must agree to compute
# the same thing; how to prove that they do, layer by layer, and backwards, too; which differences remain, how large
# they may be, and what each mistake looks like.
#
# All of it runs without any download, on a small BERT that is made here. If you have a published one in a folder
# (config.json, and model.safetensors or pytorch_model.bin), then
#
#     python chapters/ch15_real_weights.py --model FOLDER
#
# compares that one, too: all hidden states with transformers, if it is installed, and fills masks.

# %%
import argparse
import importlib.util
import json
import logging
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

from bertnp import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    inference,
    plotting,
)
from bertnp.functional import linear_backward
from bertnp.gradcheck import check, compare
from bertnp.learn import draw, show
from bertnp.models.pretrained import OLD_ENDINGS
from bertnp.models.weight_files import SafetensorsFile
from bertnp.pipelines import FillMask

logging.getLogger("bertnp").setLevel(logging.ERROR)  # the load reports are printed where they matter

# %% [markdown]
# ## The idea
#
# A program that is nearly BERT trains well, answers well, and is wrong. Its mistakes don't show in a loss: nobody knows
# what the loss should be. But there are weights that others have trained with *their* program. With these in place,
# both programs must say the same for the same text; and not only at the end: after the embeddings, and after every
# layer. The first place where they differ is where the mistake is. There is no better test of a forward.
#
# ## The formula: what is in a file
#
# A file of **safetensors** has three parts: a number $n$ of 8 bytes, lowest byte first; a text of $n$ bytes, in JSON,
# which says of each tensor its type, its shape, and where it begins and ends; and all numbers, one after the other.
# The places are counted from where the numbers begin, so a tensor that goes from $b$ to $e$ is
#
# $$ \text{file}[\,8 + n + b \;:\; 8 + n + e\,] \tag{15.1} $$
#
# its last axis running fastest. Nothing in such a file is a program: to read it can do no harm. (The older
# pytorch_model.bin is a *pickle*, which may contain anything; the library reads those with a reader that admits tensors
# and nothing else.)
#
# Most are `F32`, 4 bytes a number. Some are `BF16`: the upper half of the 32 bits, sign, exponent and 7 digits of the
# fraction. With $u$ for the two bytes read as a whole number,
#
# $$ x = \text{the float32 whose bits are } 2^{16}\, u \tag{15.2} $$

# %%
show(SafetensorsFile)

# %% [markdown]
# ## By hand
#
# A file with one tensor, written with nothing but Python. $W = \begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}$ in float32,
# and the library reads it.


# %%
def write_safetensors(path, tensors):
    """tensors: {name: float32 array}"""
    header, data = {}, b""
    for name, array in tensors.items():
        data_offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": data_offsets}
        data += array.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of 8
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
write_safetensors(folder / "one.safetensors", {"W": np.array([[1, 2], [3, 4]], np.float32)})
everything = (folder / "one.safetensors").read_bytes()
(n,) = struct.unpack("<Q", everything[:8])
print(f"n = {n}\n{everything[8 : 8 + n].decode()}\n{everything[8 + n :].hex(' ', 4)}")
begin, end = json.loads(everything[8 : 8 + n])["W"]["data_offsets"]
W = np.frombuffer(everything[8 + n + begin : 8 + n + end], "<f4").reshape(2, 2)  # (15.1)
with SafetensorsFile(folder / "one.safetensors") as file:
    assert np.array_equal(file.read("W"), W) and W.tolist() == [[1, 2], [3, 4]]

# %% [markdown]
# (`0000803f` is 1: lowest byte first, 3f800000, sign 0, exponent 127 for $2^0$, fraction 0.)
#
# And (15.2): $\frac32$ is 3fc00000 in float32, its lower half is 0, so 3fc0 holds it exactly. $0.1$ is 3dcccccd; what
# is left of it, rounded, is 3dcd, and that is $0.10009765625$. Three digits are all that 7 bits can say.

# %%
halves = np.array([0x3FC0, 0x3DCD], np.uint16)
show(bf16=(halves.astype(np.uint32) << 16).view(np.float32))
assert (halves.astype(np.uint32) << 16).view(np.float32).tolist() == [1.5, 0.10009765625]

# %% [markdown]
# ## Names
#
# The names of the tensors are the paths through the program that trained them. The first program was Google's, in
# TensorFlow; a second took over its names and gave them its own endings; hence three generations:
#
# | Google, TensorFlow | the first PyTorch files | now, and here | shape |
# |---|---|---|---|
# | bert/embeddings/word_embeddings | bert.embeddings.word_embeddings.weight | the same | $(V, H)$ |
# | bert/encoder/layer_0/… | bert.encoder.layer.0.… | the same | |
# | … attention/self/query/kernel | … attention.self.query.weight | the same | $(H, H)$ |
# | … intermediate/dense/kernel | … intermediate.dense.weight | the same | $(I, H)$ |
# | … output/LayerNorm/**gamma** | … output.LayerNorm.**gamma** | … output.LayerNorm.**weight** | $(H)$ |
# | … output/LayerNorm/**beta** | … output.LayerNorm.**beta** | … output.LayerNorm.**bias** | $(H)$ |
# | bert/pooler/dense/kernel | bert.pooler.dense.weight | the same | $(H, H)$ |
# | cls/predictions/output_bias | cls.predictions.bias | the same | $(V)$ |
# | cls/seq_relationship/output_weights | cls.seq_relationship.weight | the same | $(2, H)$ |
#
# * **Which way round?** A *kernel* of TensorFlow is (in, out), and $y = xK$. A *weight* of PyTorch, and here, is
#   (out, in), and $y = xW^{\mathsf T}$: $W = K^{\mathsf T}$. (The last line of the table is not turned: Google's code
#   multiplies that one by its transpose.)
# * **Not in the file**: `cls.predictions.decoder.weight`, the second use of the table (chapter 12). If it is there, it
#   must be equal to the first.
# * **In the file, but no weights**: `bert.embeddings.position_ids`, the numbers 0, 1, 2, … .
# * A bare encoder has no `bert.` in front. Heads that others have trained for are left over; heads that this model
#   needs may be missing.
#
# Our stand-in is written in the old way, with all of these snares. Twelve layers as in BERT-base, but $H = 48$; random
# weights of about the sizes that trained ones have.

# %%
SIZES = {
    "vocab_size": 40, "hidden_size": 48, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 96,
    "max_position_embeddings": 16, "type_vocab_size": 2,
}  # fmt: skip


def old_tensors():
    """A whole checkpoint for pre-training: {name: array}, the names as in bert-base-uncased."""
    rng, found = np.random.RandomState(15), {}
    V, H, L, I = (SIZES[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"))

    def table(name, rows):
        found[f"bert.embeddings.{name}_embeddings.weight"] = 0.05 * rng.randn(rows, H)

    def dense(name, out, into):
        found[f"{name}.weight"], found[f"{name}.bias"] = rng.randn(out, into) / np.sqrt(into), 0.1 * rng.randn(out)

    def norm(name):
        found[f"{name}.LayerNorm.gamma"], found[f"{name}.LayerNorm.beta"] = 1 + 0.1 * rng.randn(H), 0.1 * rng.randn(H)

    for name, rows in (("word", V), ("position", SIZES["max_position_embeddings"]), ("token_type", 2)):
        table(name, rows)
    norm("bert.embeddings")
    for l in range(L):
        layer = f"bert.encoder.layer.{l}"
        for part in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{part}", H, H)
        dense(f"{layer}.attention.output.dense", H, H)
        norm(f"{layer}.attention.output")
        dense(f"{layer}.intermediate.dense", I, H)
        dense(f"{layer}.output.dense", H, I)
        norm(f"{layer}.output")
    dense("bert.pooler.dense", H, H)
    dense("cls.predictions.transform.dense", H, H)
    norm("cls.predictions.transform")
    found["cls.predictions.bias"] = 0.1 * rng.randn(V)
    dense("cls.seq_relationship", 2, H)
    found["cls.predictions.decoder.weight"] = found["bert.embeddings.word_embeddings.weight"]
    found["bert.embeddings.position_ids"] = np.arange(SIZES["max_position_embeddings"])[None]
    return {name: array.astype(np.float32) for name, array in found.items()}


def write_checkpoint(folder, tensors):
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", tensors)
    configuration = {"model_type": "bert", "architectures": ["BertForPreTraining"], **SIZES}
    (folder / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    return folder


tensors = old_tensors()
published = write_checkpoint(folder / "published", tensors)
model = BertForPreTraining.from_pretrained(published, dtype=np.float64)
print(str(model.load_report).replace(str(folder), "…"))
print("endings that are renamed:", OLD_ENDINGS)
assert model.load_report.complete and len(tensors) == len(model.load_report.loaded) + 2

# %% [markdown]
# ## The same by another program
#
# The following numbers come from transformers 5.23 (with PyTorch 2.13, in float64), which was given that file: for this
# batch of two pairs, the second with padding, after the embeddings and after each of the twelve layers four numbers of
# the hidden states $(B, S, H)$; scores; the loss; and of some gradients their sum, each element multiplied by the
# cosine of its place, 0, 1, 2, …: a number that notices every element and where it is.

# %%
batch = {
    "input_ids": np.array([[1, 7, 3, 22, 2, 14, 35, 9, 2], [1, 30, 2, 5, 3, 2, 0, 0, 0]]),
    "token_type_ids": np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0, 0, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0]]),
}
labels = {"labels": np.full((2, 9), -100), "next_sentence_label": np.array([0, 1])}
labels["labels"][0, 2], labels["labels"][1, 4] = 17, 8
PLACES = ((0, 0, 0), (0, 3, 17), (1, 0, 30), (1, 5, 47))
HIDDEN_STATES = np.array(
    [
        [-1.7228882420, 2.0125433549, -0.9130481913, -0.3096648749],
        [-1.9379430962, 1.6370839122, -0.9322231561, 0.3215128478],
        [-0.4487783970, 1.6053103545, -0.4456704449, 0.2134743717],
        [-0.5000086560, 1.3213640901, 0.2456029075, -0.2669733434],
        [-0.1536446034, -0.0152420508, -0.2718484938, -1.6388400377],
        [-0.7904435055, -0.3620124777, 0.2529056091, -0.8644366621],
        [-0.2095317634, 0.2134614964, -0.0742954882, -0.9284834177],
        [-1.0925795472, -1.3168240537, -1.2320564222, -0.5428713986],
        [0.2186403528, -0.9130167472, 0.8144707564, 0.2492667818],
        [-0.4647848814, -0.7810990838, 1.4425830482, 1.1461786331],
        [-1.4108836729, -1.3156071933, 0.3898793293, 2.6714962384],
        [-1.5083397285, -0.0861823839, -0.7926773335, 2.6830961987],
        [-0.1752516365, 0.1871231981, -1.0887566121, 1.2118483122],
    ]
)
WORD_SCORES = [-0.1135318125, -0.0993326923, -0.0246963868, 0.1368374406]
NEXT_SCORES = [[0.5863475265, -0.5458836628], [0.0867205405, -0.5601116178]]
LOSS = 4.0532677047
GRADIENTS = {
    "bert.embeddings.word_embeddings.weight": -7.7193275679,
    "bert.embeddings.LayerNorm.weight": 0.1215118814,
    "bert.encoder.layer.0.attention.self.query.weight": -0.1121959340,
    "bert.encoder.layer.5.intermediate.dense.weight": 1.5520790135,
    "bert.encoder.layer.11.output.LayerNorm.bias": 0.0358371448,
    "bert.pooler.dense.weight": -0.3901538019,
    "cls.predictions.bias": 0.1910630489,
}


def fingerprint(gradient):
    return float((gradient.reshape(-1) * np.cos(np.arange(gradient.size))).sum())


def picked(hidden_states):
    return np.array([[float(x[place]) for place in PLACES] for x in hidden_states])


out = model(**batch, **labels, output_hidden_states=True)
hidden_states = [np.array(x) for x in out.hidden_states]
report = compare(
    {f"after layer {l}": row for l, row in enumerate(picked(hidden_states))},
    {f"after layer {l}": row for l, row in enumerate(HIDDEN_STATES)},
    rtol=1e-9,
)
print(report)
assert report.ok
assert np.allclose(np.array(out.prediction_logits)[0, 2, :4], WORD_SCORES, atol=1e-9)
assert np.allclose(out.seq_relationship_logits, NEXT_SCORES, atol=1e-9)
assert abs(float(out.loss) - LOSS) < 1e-9

# %% [markdown]
# That is what "agree" means: not *roughly*, but to as many digits as are written here. How `compare` judges two arrays
# $a$ and $b$:
#
# $$ \max_i |a_i - b_i| \;\le\; \text{rtol} \cdot \max_i \max(|a_i|, |b_i|) \tag{15.3} $$
#
# The difference is measured against the largest number of the *tensor*, not each against itself: a number that is
# nearly zero, by chance, may be all rounding.

# %%
show(compare)

# %% [markdown]
# ## The backward, step by step: which way round do gradients lie?
#
# Let $K$ (in, out) be a kernel of TensorFlow: $y_{to} = \sum_i x_{ti} K_{io}$. $K_{io}$ stands in $y_{to}$ for each
# token $t$, multiplied by $x_{ti}$:
#
# $$ dK_{io} = \sum_t x_{ti}\, dy_{to}, \qquad dK = x^{\mathsf T} dy = (dy^{\mathsf T} x)^{\mathsf T} = (dW)^{\mathsf T}
#    \tag{a} $$
#
# with $dW$ of (3.4). So gradients are turned just as weights are, and so are Adam's $m$ and $v$, if one goes on
# training from such a file. By hand: $x = (1, 2)$, $dy = (3, 4, 5)$ give $dK =
# \begin{pmatrix}3&4&5\\6&8&10\end{pmatrix}$, (in, out), and $dW$ is its transpose.

# %%
x, dy = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0, 5.0]])
_, dW, _ = linear_backward(dy, x, np.zeros((3, 2)))
show(dW=dW)
assert dW.T.tolist() == [[3, 4, 5], [6, 8, 10]]

# %% [markdown]
# ## Checked


# %%
def kernel_first(x, K):
    return x @ K


def kernel_first_backward(dy, x, K):
    dx, dW, _ = linear_backward(dy, x, K.T)
    return {"x": dx, "K": dW.T}


rng = np.random.RandomState(0)
report = check(kernel_first, kernel_first_backward, {"x": rng.randn(5, 3), "K": rng.randn(3, 4)})
print(report)
assert report.ok

# %% [markdown]
# And the backward of the whole model, against the gradients that PyTorch finds by itself: from both ends of it, and of
# the tied table, to which two paths lead. (The same gradient turned would have another sum.)

# %%
out = model(**batch, **labels)
model.backward()
parameters = dict(model.named_parameters())
for name, expected in GRADIENTS.items():
    gradient = parameters[name].grad
    print(f"{name:58} {fingerprint(gradient):.10f}  {expected:.10f}")
    assert abs(fingerprint(gradient) - expected) < 1e-9
    assert gradient.ndim == 1 or abs(fingerprint(gradient.T) - expected) > 1e-3  # turned, it would be noticed

# %% [markdown]
# ## Claims, tested: what the loader promises
#
# **Old names and new names are the same model.** Written anew by the library, there is no *gamma*, no copy of the table
# and no `position_ids`; what is computed has the same bits.

# %%
model.save_pretrained(folder / "new")
with SafetensorsFile(folder / "new" / "model.safetensors") as file:
    new_names = file.names
again = BertForPreTraining.from_pretrained(folder / "new", dtype=np.float64)
assert not any(name.endswith(("gamma", "beta", "position_ids", "decoder.weight")) for name in new_names)
assert len(new_names) == len(tensors) - 2 and np.array_equal(again.buffer.data, model.buffer.data)
print(f"{len(tensors)} tensors in the old file, {len(new_names)} in the new one, the same weights")

# %% [markdown]
# **A wrong shape is refused and named.** The feed-forward's kernel is (in, out) in TensorFlow; whoever forgets to turn
# it, is told:

# %%
into = "bert.encoder.layer.6.intermediate.dense.weight"


def refused(tensors, name):
    """What the loader says to these tensors."""
    try:
        BertForPreTraining.from_pretrained(write_checkpoint(folder / name, tensors))
    except ValueError as error:
        return str(error).replace(str(folder), "…")
    raise AssertionError("was taken")


message = refused({**tensors, into: tensors[into].T}, "turned")
print(message)
assert into in message and "(48, 96)" in message and "(96, 48)" in message

# %% [markdown]
# **Two tables that ought to be one** are refused, too; so is a file that was cut short on its way.

# %%
copy = "cls.predictions.decoder.weight"
message = refused({**tensors, copy: tensors[copy] + 1}, "untied")
print(message)
assert copy in message and "ties" in message
short = write_checkpoint(folder / "short", tensors) / "model.safetensors"
short.write_bytes(short.read_bytes()[:-100])
try:
    BertModel.from_pretrained(folder / "short")
    raise AssertionError("was taken")
except ValueError as error:
    print(str(error).replace(str(folder), "…"))

# %% [markdown]
# **What is missing is said.** A classifier on top of this checkpoint: its own two tensors aren't there, and those of
# the pre-training heads are left over. Not an error, but to be known: *this* classifier guesses.

# %%
classifier = BertForSequenceClassification.from_pretrained(published)
print(str(classifier.load_report).replace(str(folder), "…"))
assert sorted(classifier.load_report.newly_initialised) == ["classifier.bias", "classifier.weight"]

# %% [markdown]
# **A square matrix that lies the wrong way round fits.** Query, key and value weights are $(H, H)$: no loader can
# notice. But the comparison by layers does, at once, and says where:

# %%
square = "bert.encoder.layer.6.attention.self.query.weight"
crooked = write_checkpoint(folder / "crooked", {**tensors, square: tensors[square].T})
wrong = BertModel.from_pretrained(crooked, dtype=np.float64)
with inference():
    states = [np.array(x) for x in wrong(**batch, output_hidden_states=True).hidden_states]
report = compare(
    {f"after layer {l}": x for l, x in enumerate(states)},
    {f"after layer {l}": x for l, x in enumerate(hidden_states)},
)
print(report.sentence)
assert not report.ok and report.sentence.startswith("after layer 7 is the first that differs")

# %% [markdown]
# Layer 6 is the seventh, counted from 0. All before agree, so it is nothing in there; it is something *in* layer 6.
#
# ## Conventions that no tensor tells
#
# The weights are half of a model. The other half are agreements, some of which stand in `config.json`:
#
# | | BERT | if it is otherwise |
# |---|---|---|
# | $\varepsilon$ of layer norm | $10^{-12}$ | PyTorch's own default is $10^{-5}$ |
# | `hidden_act: gelu` | with erf (7.1) | the approximation with tanh (7.3), in Google's code of today |
# | token types | 0 for A, 1 for B, added also where there is one text | forgotten: 0 everywhere, or not added |
# | positions | 0, 1, 2, … from the left | padding on the left shifts them |
# | masks | hide keys (chapter 09) | forgotten: padding is read |
# | order | norm after the sum (chapter 08) | before it |
#
# What do they cost? The same weights, one thing changed, and how far the hidden states are from the right ones, as a
# share of their size, layer by layer.
#
# ## The rounding that remains
#
# Even if all is right, two programs that compute in float32 don't agree to the last digit: they add in another order.
# A float32 has 24 binary digits, so each operation is wrong by up to $u = 2^{-24} = 6 \cdot 10^{-8}$ of its result, and
# the result of a layer, after sums over $H$ terms, by a few $u$. The next layer passes that on and adds its own. If
# errors are independent, their *squares* add up (as variances do, chapter 09), so that after $l$ layers there is about
#
# $$ \text{error}_l \approx \text{error}_1 \sqrt{l} \tag{b} $$
#
# It grows, but slowly: in twelve layers to three and a half times that of the first. Even that is an upper estimate. It
# takes for granted that a layer passes on in full what it is given; but the norm divides each sum $x + F(x)$ by its
# size, and some layers make an error smaller.


# %%
def states_of(dtype=np.float64, changed=None, inputs=batch, **other):
    """The hidden states, with another type, other weights, another configuration or other inputs."""
    config = BertConfig.from_pretrained(published, **other)
    model = BertModel.from_pretrained(changed or published, config=config, dtype=dtype)
    with inference():
        return [np.array(x, np.float64) for x in model(**inputs, output_hidden_states=True).hidden_states]


def distance(found, right=hidden_states):
    """Of each layer the root of the mean square of the difference, as a share of that of the numbers themselves."""
    real = batch["attention_mask"] == 1
    return np.array([
        np.sqrt(((a - b)[real] ** 2).mean() / (b[real] ** 2).mean()) for a, b in zip(found, right, strict=True)
    ])  # fmt: skip


distances = {
    "token types forgotten": distance(states_of(inputs={**batch, "token_type_ids": 0 * batch["token_type_ids"]})),
    "mask forgotten": distance(states_of(inputs={**batch, "attention_mask": 0 * batch["attention_mask"] + 1})),
    "layer 6: a query weight turned": distance(states_of(changed=crooked)),
    "ε = 1e-5": distance(states_of(layer_norm_eps=1e-5)),
    "GELU with tanh": distance(states_of(hidden_act="gelu_new")),
    "float32, all right": distance(states_of(np.float32)),
}
for name, values in distances.items():
    print(f"{name:31} embeddings {values[0]:.0e}, layer 1 {values[1]:.0e}, layer 12 {values[12]:.0e}")
rounding = distances["float32, all right"]
growth = rounding[12] / rounding[1]
print(f"from layer 1 to 12 rounding has grown {growth:.1f} times; the root of 12 is {np.sqrt(12):.1f}")
assert rounding.max() < 1e-6 and 1 < growth < np.sqrt(12)
for name, values in distances.items():
    assert name == "float32, all right" or values[12] > 50 * rounding[12]
turned = distances["layer 6: a query weight turned"]
assert (turned[:7] == 0).all() and turned[7] > 1e-3

# %% [markdown]
# ## The picture
#
# Each mistake has a height, and a place where it begins. Rounding lies far below all of them: with float32, whatever is
# above $10^{-5}$ is not rounding. And below that line *nothing* is proved about small mistakes in float32: they may
# hide there. That is why checks are made in float64.

# %%
every = np.arange(13)
draw(
    plotting.curves,
    "ch15_layers.png",
    panels=[
        {
            "title": "how far from the right hidden states",
            "series": {name: (every, np.where(values > 0, values, np.nan)) for name, values in distances.items()},
            "xlabel": "layer (0: the embeddings)",
            "ylabel": "difference, share of the size",
            "log": "y",
            "markers": True,
            "ylim": (1e-8, 1e5),
        }
    ],
    height=3.8,
)

# %% [markdown]
# ## A published model
#
# With `--model FOLDER`. Everything from here on is the above, on real weights.

# %%
TEXTS = [("The man went to the store.", "He bought a gallon of milk."), ("Paris is the capital of France.", None)]
GAPS = ["The capital of France is [MASK].", "He went to the [MASK] to buy some milk."]


def transformers_states(folder, inputs):
    """The hidden states that transformers computes, in float64; None where it isn't installed."""
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        return None
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).double().eval()
    with torch.no_grad():
        out = model(**{name: torch.tensor(values) for name, values in inputs.items()}, output_hidden_states=True)
    return [x.numpy() for x in out.hidden_states]


def compare_published(folder):
    """Compare all hidden states of a checkpoint with transformers, and fill masks where it can."""
    by = {dtype: BertModel.from_pretrained(folder, dtype=dtype, add_pooling_layer=False) for dtype in ("f8", "f4")}
    print(by["f8"].load_report)
    config = by["f8"].config
    if (Path(folder) / "vocab.txt").is_file() or (Path(folder) / "tokenizer.json").is_file():
        tokenizer = BertTokenizer.from_pretrained(folder)
        pairs = [list(column) for column in zip(*[(a, b or "") for a, b in TEXTS], strict=True)]
        inputs = dict(tokenizer(*pairs, padding=True, return_tensors="np"))
    else:
        tokenizer = None
        inputs = {"input_ids": np.random.RandomState(0).randint(1, config.vocab_size, (2, 9))}
    with inference():
        ours = {
            dtype: [np.array(x, np.float64) for x in model(**inputs, output_hidden_states=True).hidden_states]
            for dtype, model in by.items()
        }
    theirs = transformers_states(folder, inputs)
    if theirs is None:
        print("transformers is not installed: pip install transformers torch. Only float32 against float64:")
    kept = np.asarray(inputs.get("attention_mask", np.ones(inputs["input_ids"].shape))) == 1
    for l, right in enumerate(theirs or ours["f8"]):
        size = abs(right[kept]).max()
        off = {dtype: abs(ours[dtype][l][kept] - right[kept]).max() / size for dtype in ours}
        print(f"after layer {l:2}: float64 {off['f8']:.1e}, float32 {off['f4']:.1e} of the largest number, {size:.2f}")
        assert off["f8"] < 1e-9 and off["f4"] < 1e-4
    fills = BertForMaskedLM.from_pretrained(folder)
    if tokenizer is not None and not fills.load_report.newly_initialised:
        for text, guesses in zip(GAPS, FillMask(fills, tokenizer)(GAPS, top_k=3), strict=True):
            print(text, "→", ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in guesses))


arguments = argparse.ArgumentParser()
arguments.add_argument("--model", metavar="FOLDER", help="a published BERT to be compared, too")
chosen = arguments.parse_known_args()[0].model  # a notebook has arguments of its own
if chosen is None:
    print("no --model FOLDER given: nothing more to compare")
elif Path(chosen).is_dir():
    compare_published(chosen)
else:
    sys.exit(f"--model {chosen}: there is no such folder")

# %% [markdown]
# What to expect there? In float64 the two agree to $10^{-15}$ of a layer's largest number, in float32 to some
# $10^{-7}$. But *largest* is to be taken seriously: in trained BERTs a few places of the vector hold numbers many times
# as large as all others (Kovaleva et al. 2021), and differences there are as large in proportion.
#
# ## What others do
#
# * **The paper** says nothing of $\varepsilon$, of the pooler, of the layer norm behind the embeddings, or of what the
#   masked-word head looks like: all of that is in the code only.
# * **Google's code** was published with erf, and changed to tanh later, under the same name `gelu`.
# * **transformers** adds token types before positions, $E_{\text{word}} + E_{\text{type}} + E_{\text{position}}$; in
#   float32 another order gives other last bits. The library keeps theirs. Attention it computes in one of several ways,
#   which differ in the last bits, too.
# * Its tests compare nine numbers of bert-base-uncased with a tolerance of $10^{-4}$. Look at the picture for what that
#   lets through.
#
# ## Common mistakes
#
# * **To compare the last layer only,** and to widen the tolerance until it fits. $10^{-3}$ takes the wrong GELU for
#   right:

# %%
tanh = states_of(hidden_act="gelu_new")
print(f"the wrong GELU is off by {abs(tanh[-1] - hidden_states[-1]).max():.0e} at most, in the last layer")
assert (
    np.allclose(tanh[-1], hidden_states[-1], rtol=0, atol=1e-2)
    and not compare({"last": tanh[-1]}, {"last": hidden_states[-1]}, rtol=1e-6).ok
)

# %% [markdown]
# * **To compare padding.** What stands in masked places is nobody's business; here it is 0, elsewhere anything.
# * **To compare with dropout on.** Call `eval()` on *both*.
# * **To turn square matrices "until it works"**: turned twice, or query and key for each other, which is
#   $QK^{\mathsf T}$ turned. The comparison of *attention* tells that, not that of shapes.
# * **To take `strict=False` for a solution**: then what doesn't fit is left out, and random weights stay in its place.
#
# ## Exercises
#
# **15.1** Write the names of Google's tensors as a function of ours, and say of each whether it must be turned.
#
# **15.2** Write a reader for safetensors: (15.1), types `F32`, `F16` and `BF16`, with an error for a file that ends too
# soon.
#
# **15.3** Exchange the weights of query and key in layer 3. From which layer on do hidden states differ? Do the
# attention shares of layer 3 tell more?
#
# **15.4** How large is the float32 error after layer 12 if the model has no layer norms at all? Make such a stand-in
# ($\gamma = 1$, $\beta = 0$ doesn't do it) and explain.
#
# **15.5** Why can a BERT with $\varepsilon = 10^{-5}$ be further off in the embeddings than in the layers? (Look at the
# variance of what is normed there.)
#
# **15.6** Now the arrays: bring the tensors of Google's checkpoint to the names and shapes of this library.
# (`bertnp learn check 15.6`)
