# %% [markdown]
# # 01 · From text to ids: how BERT cuts words into pieces, and where the pieces come from
#
# Needs: nothing. Runtime: 1 second.
#
# **What you will understand.** What happens to a sentence before any network sees it: how it is cleaned, cut into
# words and the words into pieces; what the marks `[CLS]`, `[SEP]`, `[PAD]`, `[MASK]` and `[UNK]` are for; how two
# sentences of different length come into one table of numbers; and how a vocabulary is made from bare text.

# %%
import numpy as np

from bertnp import BertTokenizer, plotting
from bertnp.learn import draw, show
from bertnp.tokenization.normalization import Normalizer
from bertnp.tokenization.vocabulary_training import Merging, count_words, train_vocabulary
from bertnp.tokenization.wordpiece import WordPiece

# %% [markdown]
# ## The idea
#
# A network computes with numbers, so text must become numbers. Giving each *word* a number fails: there is no end of
# words, and the one you need is not in the list. Giving each *character* a number works for every text, but then a
# sentence is two hundred numbers long, and no number means anything by itself.
#
# BERT's way lies between: a fixed vocabulary of about 30,000 **pieces**. Frequent words are pieces as they are. A rare
# word is put together from several: *unaffable* is `un` + `##aff` + `##able`. The two signs `##` say "this continues a
# word": so the pieces tell where words begin, and the text can be put together again. The list of pieces is numbered,
# and these numbers, the **ids**, are all that the network gets.
#
# ## Step 1: clean and cut
#
# First the text is brought into a plain form: control characters go, every kind of space becomes the plain one, each
# Chinese character gets spaces around it (so that it is a word of its own), accents are dropped, letters become small.
# (An *uncased* BERT is trained on such text. A *cased* one leaves out the last two.) This is the code:

# %%
show(Normalizer.textbook)

# %% [markdown]
# Then it is cut at spaces, and around every punctuation mark. To see it we need a vocabulary; here is one that fits on
# a line. A published one has its pieces in a file `vocab.txt`, one on each line, and the number of the line is the id.

# %%
pieces = "[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able play ##ing ##ed the a cat cafe was in ab ##bc . , !".split()
tokenizer = BertTokenizer(pieces)
text = "The Café, UNAFFABLE\tas ever!"
words = tokenizer.words(text)
print(words)
assert words == ["the", "cafe", ",", "unaffable", "as", "ever", "!"]

# %% [markdown]
# ## Step 2: words into pieces, the formula
#
# The rule is greedy. Let $r$ be what is left of the word. Take the *longest* piece of the vocabulary with which $r$
# begins; cut it off; go on with the rest, and from then on look among the pieces that begin with `##` only:
#
# $$ p_k = \text{the longest } p \in V_k \text{ with which } r_k \text{ begins}, \qquad
#    r_{k+1} = r_k \text{ without } p_k, \qquad r_1 = \text{the word} \tag{1.1} $$
#
# where $V_1$ are the pieces without `##` and $V_2 = V_3 = \dots$ those with it. If at any place no piece fits, the
# *whole word* becomes `[UNK]`, the unknown.

# %%
show(WordPiece.ids)

# %% [markdown]
# ## By hand
#
# *unaffable*, with the vocabulary above. The whole word is no piece, nor is *unaffabl*, *unaffab*, … The first that is
# one is `un`. Left is *affable*; with `##` in front, the longest that fits is `##aff`; left is *able*: `##able`.
# Nothing is left, done. The ids are the places in the list, counted from 0: 5, 6, 7.

# %%
word, start, known = "unaffable", 0, tokenizer.get_vocab()
while start < len(word):
    tried = []
    for end in range(len(word), start, -1):
        piece = ("##" if start else "") + word[start:end]
        tried.append(piece)
        if piece in known:
            break
    print(f"{' '.join(tried[:-1]):80} -> {piece} (id {known[piece]})")
    start = end

ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
assert ids == [5, 6, 7]
assert tokenizer.tokenize("playing ever") == ["play", "##ing", "[UNK]"]

# %% [markdown]
# ## Step 3: the marks, and a table of numbers
#
# BERT reads one or two texts at a time. `[CLS]` stands in front (its vector will speak for the whole), `[SEP]` behind
# each text. Several rows go through the network at once, so the shorter ones are filled up with `[PAD]`. Three tables
# of the same shape $(B, S)$, $B$ rows of $S$ tokens, say everything:
#
# * `input_ids`: which piece;
# * `token_type_ids`: 0 for the first text, 1 for the second;
# * `attention_mask`: 1 for a token, 0 for padding.

# %%
batch = tokenizer(["The cat was playing.", "Unaffable!"], ["A cat!", "The cat."], padding=True, return_tensors="np")
for row in range(2):
    print(" ".join(tokenizer.convert_ids_to_tokens(batch["input_ids"][row])))
show(**batch)

assert batch["input_ids"].shape == (2, 12)
assert batch["input_ids"][1].tolist() == [2, 5, 6, 7, 21, 3, 11, 13, 19, 3, 0, 0]
assert batch["attention_mask"].sum(axis=1).tolist() == [12, 10]
assert batch["token_type_ids"][1].tolist() == [0] * 6 + [1] * 4 + [0] * 2

# %% [markdown]
# `[MASK]` is the fifth mark: in pre-training it takes the place of a word that BERT has to find (chapter 12).
#
# ## Step 4: where the vocabulary comes from
#
# It is made by counting. Every word begins as single characters: *sea* is `s ##e ##a`. Then, again and again, the best
# pair of neighbours becomes one new piece, in all words at once, until the vocabulary is large enough. With $f(ab)$
# the number of times that $a$ stands directly before $b$ in the text, there are two scores in use:
#
# $$ \text{count: } f(ab) \qquad \text{or} \qquad \text{likelihood: } \frac{f(ab)}{f(a)\, f(b)} \tag{1.2} $$
#
# The first takes what is frequent. The second asks how much more often the two stand together than they would by
# chance. (The code shifts the fraction up by a power of two, so that it can be compared as a whole number.)

# %%
show(Merging._score)
counts = {"sea": 6, "set": 4, "zoo": 1}  # how often each word occurs
expected = {"count": ["se", "sea", "set", "zo", "zoo"], "likelihood": ["zo", "zoo", "se", "sea", "set"]}
for score in expected:
    made = train_vocabulary(counts, 100, score=score, min_frequency=1)
    merged = [piece for piece in made if len(piece.removeprefix("##")) > 1 and piece[0] != "["]
    print(f"{score:10}  {' '.join(merged)}")
    assert merged == expected[score]

# %% [markdown]
# Follow it: `s ##e` stands together 10 times (6 in *sea*, 4 in *set*), more than any other pair, so by count `se` is
# made first. By likelihood it has only $10/(10 \cdot 10) = 0.1$, while `z ##o` has $1/(1 \cdot 2) = 0.5$: wherever
# there is a *z*, an *o* follows.
#
# On a text of some length, endings and stems appear all by themselves. *barker* stands nowhere in this one:

# %%
story = (
    "the cat was playing in the garden . the dog was barking at the cat . she was walking and talking , he was "
    "working and waiting . they played and barked and walked and talked and worked and waited . a walker walks , "
    "a talker talks , a worker works . playing and walking and working ."
)
learnt = train_vocabulary(count_words([story], tokenizer), 75)
print(" ".join(piece for piece in learnt if len(piece.removeprefix("##")) > 2))
small = BertTokenizer(learnt)
print(small.tokenize("talked barker"))
assert "##ing" in learnt and small.tokenize("talked barker") == ["talk", "##ed", "bark", "##er"]

# %% [markdown]
# Nothing here has a slope: ids are whole numbers, and there is no such thing as a slightly larger *cat*. So there is
# no backward pass either. Gradients begin one step later, where an id picks a row of a table (chapter 04).
#
# ## Checked
#
# Two claims, on every word of the story. Joined again, without the `##`, the pieces are the word: nothing is lost
# (unless it is `[UNK]`, which loses all). And a piece that begins a word is always the longest that could:

# %%
known = small.get_vocab()
for word in small.words(story):
    tokens = small.tokenize(word)
    assert "".join(token.removeprefix("##") for token in tokens) == word
    assert not any(word[:end] in known for end in range(len(tokens[0]) + 1, len(word) + 1))
print(len(small.words(story)), "words cut and put together again")
assert small.decode(small("the cat was walking")["input_ids"], skip_special_tokens=True) == "the cat was walking"

# %% [markdown]
# **Greedy is not clever.** Our first vocabulary has `ab`, `a` and `##bc`. So *abc* could be cut: `a` + `##bc`. But the
# longest piece at the start is `ab`, then *c* is left, no piece fits, and the whole word is unknown. Making sure of
# such cases would take a search; greedy takes one walk through the word, and with every single character in the
# vocabulary, as in a real one, it never gets stuck.

# %%
print(tokenizer.tokenize("abc"))
assert tokenizer.tokenize("abc") == ["[UNK]"]

# %% [markdown]
# ## The picture
#
# One sentence, from text to ids; the wider a box, the more characters it covers.

# %%
sentence = "the cat was playing , unaffable"
encoded = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
cut = list(zip(encoded["offset_mapping"], encoded.tokens(), encoded["input_ids"], strict=True))
edges = np.cumsum([0, *(len(word) + 1 for word in sentence.split())])
draw(
    plotting.tokens,
    "ch01_wordpiece.png",
    lines=[
        ("words", [(a, a + len(word), word, 0.1) for a, word in zip(edges, sentence.split(), strict=False)]),
        ("pieces", [(a, b, piece, 0.6 if piece.startswith("##") else 0.35) for (a, b), piece, _ in cut]),
        ("ids", [(a, b, str(number), 0.6 if piece.startswith("##") else 0.35) for (a, b), piece, number in cut]),
    ],
)

# %% [markdown]
# ## What others do
#
# * **The paper** (Devlin et al. 2019) says "WordPiece embeddings with a 30,000 token vocabulary" and refers to Wu et
#   al. 2016. How that vocabulary was *made* was never released.
# * **Google's code** cuts as above. Raw text that says `[MASK]` is for it three tokens; and it gives up on words of
#   more than 200 characters.
# * **transformers** gives up at 100 characters, and finds `[MASK]` in raw text. Its trainer, though called WordPiece,
#   merges by plain count. Its fast tokenizer knows the character classes of Unicode 8, whatever your Python knows.
#
# The tokenizer here is token for token that of transformers; `mode="google"` follows Google where the two differ:

# %%
for mode in ("fast", "google"):
    print(f"{mode:8}", BertTokenizer(pieces, mode=mode).tokenize("the [MASK] was playing"))
assert BertTokenizer(pieces).tokenize("the [MASK]") == ["the", "[MASK]"]
assert BertTokenizer(pieces, mode="google").tokenize("the [MASK]") == ["the", "[UNK]", "[UNK]", "[UNK]"]

# %% [markdown]
# ## Common mistakes
#
# * **The wrong vocabulary.** Ids mean nothing without the list they count. With another list the same sentence gives
#   other numbers, the network runs, and its answers are noise. A model and its tokenizer belong in one folder.
# * **Cased text for an uncased model**, or the other way round: everything with a capital letter turns into `[UNK]`
#   or falls to pieces.
# * **Forgetting the attention mask.** The padding then takes part as if somebody had said "pad pad pad" (chapter 09).
# * **One label per word, several pieces per word.** For tasks on words, such as names of people and places, the label
#   goes to the first piece, and the others get none (chapter 16).
# * **Cutting the text to length after adding `[SEP]`**, which cuts the `[SEP]` off. It belongs the other way round.

# %%
cased = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"], do_lower_case=False)
print(cased.tokenize("The cat"))
assert cased.tokenize("The cat") == ["[UNK]", "cat"]

# %% [markdown]
# ## Exercises
#
# Some are for paper, some to play with. Those that name a command are to be coded: `bertnp learn start 1` writes a file
# to fill in, and the command says whether yours is right, and if not, what is wrong.
#
# **1.1** Write the greedy cut yourself: a function of a word and a set of pieces that returns a list of pieces.
# Compare it with `tokenizer.tokenize` on all words of the story. (`bertnp learn check 1.1`)
#
# **1.2** Add the rule for `[UNK]`. Which words of *"a cat in a garden"* are unknown to our first vocabulary?
# (`bertnp learn check 1.2`)
#
# **1.3** Find the shortest vocabulary, and a word, for which greedy uses three pieces where two would do.
# (`bertnp learn check 1.3`)
#
# **1.4** Make a vocabulary of 40, of 75 and of 120 pieces from the story. How many tokens does the story have under
# each? Where does it stop to pay?
#
# **1.5** By hand: which pair would `likelihood` merge first in the words *low* (5), *lower* (2), *new* (6)? Check with
# `train_vocabulary`.
#
# **1.6** Write the way back: from pieces to the text they came from. (`bertnp learn check 1.6`)
