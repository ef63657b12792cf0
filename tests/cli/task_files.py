"""Files of the tasks that have their own, with what a tiny model can learn from them."""

import json
import random

from tiny_model import BAD, GOOD, THINGS, toy_sentences


def tagged_file(path, n=48, seed=0):
    """Things are entities of one type, "very" and what follows of another, of several words."""
    lines = []
    for text, _ in toy_sentences(n, seed):
        before = "O"
        for word in text.split():
            if word in THINGS:
                tag = "B-thing"
            elif word == "very" or word in GOOD + BAD:
                tag = "I-feel" if before.endswith("-feel") else "B-feel"
            else:
                tag = "O"
            lines.append(f"{word}\t{tag}")
            before = tag
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def squad_file(path, n=40, unanswerable=0):
    """What was it? The thing before "was"; in every so many paragraphs there is none."""
    rng, paragraphs = random.Random(1), []
    for i in range(n):
        thing, other = rng.sample(THINGS, 2)
        word = rng.choice(GOOD + BAD)
        nothing = unanswerable and i % unanswerable == 0
        context = f"it is very {other} and a {thing} {'is' if nothing else 'was'} {word} ."
        answers = [] if nothing else [{"text": thing, "answer_start": context.index(f" {thing} was") + 1}]
        paragraphs.append({"context": context, "qas": [
            {"id": f"q{i}", "question": "what was it", "answers": answers, "is_impossible": bool(nothing)}
        ]})  # fmt: skip
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def choice_file(path, n=40):
    rng = random.Random(2)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(n):
            choices = [f"was {rng.choice(BAD)}", f"very {rng.choice(BAD)}", f"was {rng.choice(GOOD)}"]
            rng.shuffle(choices)
            label = next(i for i, choice in enumerate(choices) if choice.split()[1] in GOOD)
            context = f"the {rng.choice(THINGS)}"
            file.write(json.dumps({"context": context, "choices": choices, "label": label}) + "\n")
    return path
