"""The exact posterior against enumeration of a miniature world, against frequencies, and against what must hold."""

import itertools
import math
import random
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from bertnp.data.instances import PretrainingInstance, create_pretraining_instances
from bertnp.data.world import Floor, Slot, World, all_masked, unigram_entropy, valley
from bertnp.data.world.floor import first_segments
from bertnp.tokenization import BertTokenizer

HIDDEN = {"person": ("Ann", "Bob"), "mood": ("good", "bad")}
SLOTS = {
    "Ann": Slot("person", {"Ann": ["Ann"], "Bob": ["Bob", "Bob", "Rob"]}),
    "she": Slot("person", {"Ann": ["she"], "Bob": ["he"]}),
    "glad": Slot("mood", {"good": ["glad", "merry"], "bad": ["sad"]}),
    "now": Slot(None, {None: ["now", "."]}),  # sentences end with either, so where they end isn't plain to see
}
PATTERNS = [
    ["{Ann} is {glad}.", "{Ann} {now}"],
    ["{she} is {glad}.", "{she} {now}"],
    ["{glad} {now}", "{Ann} is {glad}."],
]


def mini_world(K=3):
    return World(HIDDEN, SLOTS, PATTERNS[:K])


def all_stories(world):
    """[(probability, story as a tuple of tuples of tokens)] of every story that can be told."""
    found = Counter()
    for values in itertools.product(*world.hidden.values()):
        hidden = dict(zip(world.hidden, values, strict=True))
        sentences = []
        for patterns in world.patterns:
            said = []
            for pattern in patterns:
                every = list(itertools.product(*(words_of(world, piece, hidden) for piece in pattern)))
                said += [(1 / len(patterns) / len(every), words) for words in every]
            sentences.append(said)
        for story in itertools.product(*sentences):
            p = math.prod(p for p, _ in story) / math.prod(map(len, world.hidden.values()))
            found[tuple(words for _, words in story)] += p
    return [(p, story) for story, p in found.items()]


def words_of(world, piece, hidden):
    if piece[0] != "{":
        return [piece.lower()]
    slot = world.slots[piece[1:-1]]
    return [word.lower() for word in slot.words[hidden.get(slot.variable)]]


def all_instances(stories):
    """{(first, second, whether it is random): how often it comes in a story}, by going through the algorithm."""
    K = len(stories[0][1])
    often = Counter()
    elsewhere = Counter()  # second segments from another story: it begins at any of its sentences
    for p, story in stories:
        for start in range(K):
            elsewhere[sum(story[start:], ())] += p / K

    def go_on(p, story, begin):
        if begin == K:
            return
        cuts = [K] if K - begin == 1 else list(range(begin + 1, K))
        for cut in cuts:
            share = p / len(cuts)
            first = sum(story[begin:cut], ())
            if cut < K:
                often[first, sum(story[cut:], ()), False] += share / 2
                share /= 2
            for second, q in elsewhere.items():
                often[first, second, True] += share * q
            go_on(share, story, cut)

    for p, story in stories:
        go_on(p, story, 0)
    return often


@pytest.fixture(scope="module", params=[1, 2, 3])
def counted(request):
    world = mini_world(request.param)
    return world, counted_instances(request.param)


@cache
def counted_instances(K):
    return all_instances(all_stories(mini_world(K)))


def record_of(first, second, positions, is_random_next=False):
    tokens = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    labels = [tokens[position] for position in positions]
    segment_ids = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return PretrainingInstance(tokens, segment_ids, list(positions), labels, is_random_next)


def some_records(often, count, seed=0):
    """Instances with one to four masks, more often the more frequent ones."""
    draw = random.Random(seed)
    instances = list(often)
    for first, second, is_random in draw.choices(instances, [often[key] for key in instances], k=count):
        words = [i for i in range(len(first) + len(second) + 3) if i not in (0, len(first) + 1)][:-1]
        masks = draw.sample(words, min(len(words), draw.randint(1, 4)))
        yield record_of(first, second, sorted(masks), is_random)


def consistent(record, by_lengths):
    """{(first, second, random): how often} of the instances that look like a record between its masks."""
    shown = all_shown(record)
    middle = shown.index("[SEP]")
    visible = [i for i in range(len(shown)) if i not in record.masked_lm_positions]
    found = {}
    for key, p in by_lengths[middle - 1, len(shown) - middle - 2]:
        tokens = ["[CLS]", *key[0], "[SEP]", *key[1], "[SEP]"]
        if all(tokens[i] == shown[i] for i in visible):
            found[key] = p
    return found


def all_shown(record):
    tokens = list(record.tokens)
    for position, label in zip(record.masked_lm_positions, record.masked_lm_labels, strict=True):
        tokens[position] = label
    return tokens


def test_the_posterior_is_that_of_counting_every_instance_there_can_be(counted):
    world, often = counted
    floor, most = Floor(world), 0
    by_lengths = defaultdict(list)
    for key, p in often.items():
        by_lengths[len(key[0]), len(key[1])].append((key, p))
    for record in some_records(often, 40):
        possible = consistent(record, by_lengths)
        total = sum(possible.values())
        surprises = floor.surprises(record)
        places = zip(record.masked_lm_positions, record.masked_lm_labels, surprises, strict=True)
        for position, label, surprise in places:
            expected = Counter()
            for (first, second, _), p in possible.items():
                expected[["[CLS]", *first, "[SEP]", *second][position]] += p / total
            assert floor.posterior(record, position) == pytest.approx(dict(expected), rel=1e-9)
            assert surprise == pytest.approx(-math.log(expected[label]), rel=1e-9, abs=1e-12)
        follows = sum(p for (_, _, is_random), p in possible.items() if not is_random)
        assert floor.follows(record) == pytest.approx(follows / total, rel=1e-9, abs=1e-12)
        most = max(most, len(possible))
    assert most > 2  # there was something to choose from


def test_sentence_ends_that_are_not_plain_to_see_are_summed_over():
    """Four words "x x x x" may be cut in three ways."""
    world = World({}, {}, [["x", "x x"], ["x", "x x", "x x x"]])
    floor = Floor(world)
    likelihood = floor.segment(("x",) * 3, {})
    assert likelihood[0, 2].item() == pytest.approx(1 / 2 * 1 / 3 * 2)  # 1 + 2 and 2 + 1
    assert likelihood[1, 2].item() == pytest.approx(1 / 3)
    assert set(likelihood) == {(0, 2), (1, 2)}


def test_how_often_sentences_are_a_first_segment():
    assert first_segments(1) == {(0, 1): 1.0}
    assert first_segments(2) == pytest.approx({(0, 1): 2 / 3, (1, 2): 1 / 3})
    assert sum(first_segments(5).values()) == pytest.approx(1)


# against the algorithm that makes the instances


def tokenizer_of(world):
    return BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *world.words])


def instances_of(world, count, seed, dupe_factor=1):
    tokenizer = tokenizer_of(world)
    documents = [[tokenizer.tokenize(sentence) for sentence in story] for story in world.stories(count, seed)]
    return create_pretraining_instances(
        documents, tokenizer, Floor(world).longest_instance, dupe_factor, 0, 0.15, 20, False, random.Random(seed)
    )


@pytest.fixture(scope="module")
def many():
    return instances_of(mini_world(), 4000, seed=3)


def test_instances_come_as_often_as_going_through_the_algorithm_says(many):
    """Chi-square over the kinds of instances: it is the algorithm of bertnp.data.instances that the floor is for."""
    expected = counted_instances(3)
    total = sum(expected.values())
    found = Counter()
    for record in many:
        shown = all_shown(record)
        middle = shown.index("[SEP]")
        found[tuple(shown[1:middle]), tuple(shown[middle + 1 : -1]), record.is_random_next] += 1
    assert set(found) <= set(expected)
    groups = defaultdict(lambda: [0.0, 0])  # the rare ones together, by their lengths
    for (first, second, is_random), p in expected.items():
        group = groups[len(first), len(second), is_random]
        group[0] += p / total * len(many)
        group[1] += found[first, second, is_random]
    groups = [group for group in groups.values() if group[0] >= 10]
    chi_square = sum((seen - wanted) ** 2 / wanted for wanted, seen in groups)
    assert len(groups) > 20
    assert abs(chi_square - len(groups)) < 4 * math.sqrt(2 * len(groups))


def test_words_come_as_often_as_their_posteriors_say(many):
    """Of all words that were given p, a share p is right; and the mean surprise is the mean entropy."""
    floor = Floor(mini_world())
    given, right, surprises, entropies = [], [], [], []
    for record in many[:800]:
        surprises += floor.surprises(record)
        for position, label in zip(record.masked_lm_positions, record.masked_lm_labels, strict=True):
            posterior = floor.posterior(record, position)
            assert sum(posterior.values()) == pytest.approx(1, abs=1e-12)
            given += posterior.values()
            right += [word == label for word in posterior]
            entropies.append(-sum(p * math.log(p) for p in posterior.values()))
    given, right = np.array(given), np.array(right)
    bins = 0
    for low, high in itertools.pairwise([0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0 - 1e-9]):
        among = (given > low) & (given <= high)
        if among.sum() > 50:
            bins += 1
            spread = math.sqrt((given[among] * (1 - given[among])).sum())
            assert abs(right[among].sum() - given[among].sum()) < 4 * spread
    assert bins >= 5
    difference = np.subtract(surprises, entropies)
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(len(difference))
    assert difference.std() > 0.1


def test_following_segments_come_as_often_as_said(many):
    floor = Floor(mini_world())
    follows = np.array([floor.follows(record) for record in many[:800]])
    wrong = sum(follows) - sum(not record.is_random_next for record in many[:800])
    assert abs(wrong) < 4 * math.sqrt((follows * (1 - follows)).sum())
    assert follows.std() > 0.1


# the valley


def test_there_is_room_for_every_instance_of_the_valley():
    """Every instance is one that uncut stories make; with less room some are not."""
    floor = Floor(valley())
    tokenizer = tokenizer_of(floor.world)
    documents = [[tokenizer.tokenize(sentence) for sentence in story] for story in floor.world.stories(200, 5)]

    def possible(room):
        settings = (1, 0, 0.15, 20, False, random.Random(5))
        records = create_pretraining_instances(documents, tokenizer, room, *settings)
        return np.mean([floor.likelihood(all_shown(record), {}) > 0 for record in records])

    assert possible(floor.longest_instance) == 1
    assert possible(floor.longest_instance // 2) < 0.95


def test_the_floor_of_the_valley_is_low_and_guessing_by_frequency_is_not():
    world = valley()
    floor = Floor(world)
    records = instances_of(world, 150, seed=6)
    surprises = [surprise for record in records for surprise in floor.surprises(record)]
    labels = [label for record in records for label in record.masked_lm_labels]
    assert len(surprises) == len(labels) > 500
    assert min(surprises) > -1e-12
    assert np.mean(surprises) < 0.2 * unigram_entropy(labels)
    for record in records[:20]:
        for position in record.masked_lm_positions:
            assert sum(floor.posterior(record, position).values()) == pytest.approx(1, abs=1e-12)


def test_what_a_record_has_in_place_of_chosen_words_plays_no_part():
    floor = Floor(valley())
    for record in instances_of(valley(), 20, seed=7):
        masked = all_masked(record, "[MASK]")
        assert masked.tokens.count("[MASK]") == len(record.masked_lm_positions)
        assert all_shown(masked) == all_shown(record)
        assert floor.surprises(masked) == floor.surprises(record)
        assert floor.follows(masked) == floor.follows(record)


def test_the_entropy_of_words():
    assert unigram_entropy("a b c d".split()) == pytest.approx(math.log(4))
    assert unigram_entropy("a a a b".split()) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
