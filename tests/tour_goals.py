"""Hold whole tours to what they must show:  python tests/tour_goals.py bertnp-tour ...

The pre-trained classifier beats the one from scratch by 15 points with the fewest labels; pre-training closes 90 % of
the gap between word frequencies and the best possible, and goes not below that; it takes at most 75 seconds, and the
whole tour less than 180; "I love you." and "I hate you." are told apart.
"""

import json
import sys
from pathlib import Path

import numpy as np


def missed(folder):
    """Print what a tour showed, and return what it missed."""
    figures = json.loads((Path(folder) / "tour.json").read_text(encoding="utf-8"))
    pretraining, finetuning = figures["pretraining"], figures["finetuning"]
    means = {side: np.mean(runs, axis=1) for side, runs in finetuning["accuracy"].items()}
    ahead = means["pre-trained"] - means["from scratch"]
    learnt = min(np.min(runs) for runs in finetuning["accuracy_on_labelled"].values())
    seconds, processor = (sum(figures[name].values()) for name in ("seconds", "processor_seconds"))
    answers = {text: answer["label"] for text, answer in finetuning["answers"].items()}
    print(f"{folder}: seed {figures['seed']}")
    print(f"  loss {pretraining['loss']:.4f}, floor {pretraining['floor']:.4f}, word frequencies "
          f"{pretraining['unigram_entropy']:.4f}: {pretraining['gap_closed']:.1%} of the gap closed")  # fmt: skip
    print(f"  next sentence {pretraining['next_sentence_accuracy']:.1%}, the best possible "
          f"{pretraining['next_sentence_best']:.1%}")  # fmt: skip
    for side, mean in means.items():
        print(f"  {side:13}", *(f"{n}: {x:.1%}" for n, x in zip(finetuning["labels"], mean, strict=True)), sep="  ")
    print(f"  labelled sentences told right at the end of training: {learnt:.0%} at least")
    print(f"  pre-training {pretraining['seconds']:.1f} s, in all {seconds:.1f} s, {processor:.1f} s of the processor")
    goals = {
        "15 points with the fewest labels": ahead[0] >= 0.15 and len(finetuning["accuracy"]["pre-trained"][0]) == 5,
        "90 % of the gap": pretraining["gap_closed"] >= 0.9,
        "not below the floor": pretraining["loss"] > pretraining["floor"],
        "pre-training in 75 s": pretraining["seconds"] <= 75,
        "the whole in 180 s": seconds < 180,
        "love and hate": answers == {"I love you.": "good", "I hate you.": "bad"},
    }
    return [goal for goal, reached in goals.items() if not reached]


if __name__ == "__main__":
    wrong = {folder: missed(folder) for folder in sys.argv[1:]}
    for folder, goals in wrong.items():
        if goals:
            print(f"{folder} missed: {', '.join(goals)}")
    sys.exit(1 if any(wrong.values()) or not wrong else 0)
