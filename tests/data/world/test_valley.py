import hashlib
import re

from bertnp.data.world import feelings, valley
from bertnp.data.world.valley import FEELINGS, LABELS
from bertnp.tokenization import BertTokenizer
from bertnp.tokenization.vocabulary_training import SPECIAL_TOKENS, count_words, train_vocabulary

STORIES = "891e1b3537439b1840d9a3fd7e2811327a6f85568647fbf0dd4c49d1efb55cff"  # SHA-256 of a hundred


def told(count=500):
    return valley().stories(count, seed=1)


def test_stories_are_the_same_on_every_machine():
    text = "\n".join(" ".join(story) for story in told(100))
    assert hashlib.sha256(text.encode()).hexdigest() == STORIES


def test_stories_are_english():
    sentences = [sentence for story in told() for sentence in story]
    assert all(re.fullmatch(r"[A-Z][A-Za-z ]*([,:] [A-Za-z ]+)*[.!]", sentence) for sentence in sentences)
    text = " ".join(sentences)
    assert not re.search(r"\ba [aeiou]", text, re.I)  # "a awful": the article never has to be "an"
    assert not re.search(r"[{}]|  ", text)
    for story in told():
        people = re.findall(r"\b(?:Mira|Tilda|Juna|Oona|Pim|Bruno|Oskar|Finn)\b", " ".join(story))
        assert len(set(people)) == 1


def test_a_story_has_one_feeling():
    bad, good = (
        {form for words in FEELINGS[weather].values() for word in words.split() for form in (word, f"{word}s")}
        for weather in ("rain", "sun")
    )
    assert not good & bad
    for story in told():
        words = set(re.findall(r"\w+", " ".join(story).lower()))
        assert not (words & good and words & bad)
        assert words & good or words & bad


def test_sentences_about_feelings_tell_them_by_a_single_word():
    sentences, labels = feelings(400, seed=2)
    assert labels.count(0) == labels.count(1) == 200 and LABELS == ("bad", "good")
    shown = [set(), set()]
    for sentence, label in zip(sentences, labels, strict=True):
        words = re.findall(r"\w+", sentence.lower())
        telling = [
            word for word in words
            for weather in FEELINGS for forms in FEELINGS[weather].values() for form in forms.split()
            if word in (form, f"{form}s")
        ]  # fmt: skip
        assert len(telling) == 1
        shown[label].update(telling)
    assert not shown[0] & shown[1] and min(map(len, shown)) > 15
    assert "I love you." in sentences and "I hate you." in sentences
    world = set(valley().words)
    assert {word for sentence in sentences for word in re.findall(r"\w+", sentence.lower())} <= world


def test_a_vocabulary_made_from_the_stories_has_every_word_whole():
    stories = valley().stories(300, seed=3)
    words = count_words((s for story in stories for s in story), BertTokenizer(list(SPECIAL_TOKENS)))
    tokenizer = BertTokenizer(train_vocabulary(words, 1000))
    valley().check_tokenizer(tokenizer)
    assert set(words) == set(valley().words)
