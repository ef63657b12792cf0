"""Pre-training instances once more, the slow way, to hold bertnp.data.instances against.

Written from the description of Google's algorithm with lists of strings that are popped, joined and copied; it shares
nothing with the code that is tested.
"""

from itertools import chain

from tiny_model import VOCABULARY

WORDS = VOCABULARY[5:]


def slow_instances(documents, words, S, dupes, short, share, most, whole_word, rng):
    """Instances as dictionaries, in their final order."""
    books = []
    for document in documents:
        kept = [list(sentence) for sentence in document if len(sentence) > 0]
        if kept:
            books.append(kept)
    rng.shuffle(books)
    result = []
    for number in list(range(len(books))) * dupes:
        for left, right, elsewhere in pairs(books, number, S, short, rng):
            result.append(mask(left, right, elsewhere, words, share, most, whole_word, rng))
    rng.shuffle(result)
    return result


def pairs(books, number, S, short, rng):
    target = S - 3
    if rng.random() < short:
        target = rng.randint(2, S - 3)
    waiting = list(books[number])
    pile = []
    while waiting:
        pile.append(waiting.pop(0))
        if waiting and sum(map(len, pile)) < target:
            continue
        cut = 1 if len(pile) == 1 else rng.randint(1, len(pile) - 1)
        left = list(chain.from_iterable(pile[:cut]))
        rest = pile[cut:]
        elsewhere = True if not rest else rng.random() < 0.5
        if elsewhere:
            waiting = rest + waiting
            right = from_another(books, number, target - len(left), rng)
        else:
            right = list(chain.from_iterable(rest))
        while len(left) + len(right) > S - 3:
            longer = right if len(right) >= len(left) else left
            longer.pop(0 if rng.random() < 0.5 else -1)
        yield left, right, elsewhere
        pile = []


def from_another(books, number, wanted, rng):
    tries = 0
    other = number
    while tries < 10 and other == number:
        other = rng.randint(0, len(books) - 1)
        tries += 1
    text = []
    for sentence in books[other][rng.randint(0, len(books[other]) - 1) :]:
        text += sentence
        if len(text) >= wanted:
            return text
    return text


def mask(left, right, elsewhere, words, share, most, whole_word, rng):
    row = ["[CLS]"] + left + ["[SEP]"] + right + ["[SEP]"]
    groups = []
    for place in range(len(row)):
        if row[place] in ("[CLS]", "[SEP]"):
            pass
        elif whole_word and row[place][:2] == "##" and groups:
            groups[-1] += [place]
        else:
            groups += [[place]]
    rng.shuffle(groups)
    wanted = int(round(len(row) * share))
    if wanted == 0:
        wanted = 1
    if wanted > most:
        wanted = most
    hidden = list(row)
    places = []
    for group in groups:
        if len(places) == wanted:
            break
        if len(places) + len(group) <= wanted:
            for place in group:
                places.append(place)
                dice = rng.random()
                if dice < 0.8:
                    hidden[place] = "[MASK]"
                elif rng.random() >= 0.5:
                    hidden[place] = words[rng.randint(0, len(words) - 1)]
    places.sort()
    return {
        "tokens": hidden,
        "segment_ids": [0] * (2 + len(left)) + [1] * (1 + len(right)),
        "masked_lm_positions": places,
        "masked_lm_labels": [row[place] for place in places],
        "is_random_next": elsewhere,
    }


def random_documents(rng, most_documents=8, most_sentences=12, longest=20):
    """At least two documents with text; between them empty ones, in them empty sentences, and literal specials."""
    documents = []
    for _ in range(rng.randint(2, most_documents)):
        sentences = []
        for _ in range(rng.randint(1, most_sentences)):
            words = [rng.choice(WORDS) for _ in range(rng.randint(1, longest))]
            if rng.random() < 0.05:
                words[rng.randrange(len(words))] = rng.choice(["[SEP]", "[CLS]", "[MASK]", "[UNK]", "not-there"])
            sentences += [words] + [[]] * (rng.random() < 0.1)
        documents += [sentences] + [[]] * (rng.random() < 0.2) + [[[]]] * (rng.random() < 0.1)
    return documents
