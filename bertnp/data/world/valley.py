"""The valley: people, places, animals, weather and feelings, in stories of four sentences.

    Oona has a clever frog. The rain fell and she felt gloomy. It was a grim and rainy day. She wept: I hate you.

A person, a place, an animal and the weather go through a story. In the valley feelings follow the weather, so a story
is glad or sad as a whole. The words for a feeling are drawn with equal chances; nothing in a single one of them says
which feeling it is, as nothing in the letters of "glad" says that it is like "merry". The company they keep does.
"""

from bertnp.data.world.grammar import Slot, World

PEOPLE = {
    "Mira": "she", "Tilda": "she", "Juna": "she", "Oona": "she",
    "Pim": "he", "Bruno": "he", "Oskar": "he", "Finn": "he",
}  # fmt: skip
PLACES = {
    "forest": "in", "garden": "in", "lake": "by", "river": "by",
    "hill": "on", "island": "on", "bridge": "under", "mill": "near",
}  # fmt: skip
ANIMALS = {
    "dog": "barked", "cat": "purred", "frog": "croaked", "bee": "buzzed",
    "lamb": "bleated", "duck": "quacked", "wolf": "howled", "mouse": "squeaked",
}  # fmt: skip
WEATHER = {"sun": ("shone", "sunny"), "rain": ("fell", "rainy")}
FEELINGS = {
    "sun": {
        "happy": "happy glad cheerful merry joyful delighted proud pleased",
        "lovely": "lovely wonderful beautiful splendid charming delightful",
        "love": "love like adore treasure",
        "smiled": "smiled",
    },
    "rain": {
        "happy": "sad gloomy unhappy miserable lonely angry bitter upset",
        "lovely": "grim horrible terrible nasty dreadful dismal",
        "love": "hate dislike loathe despise",
        "smiled": "wept",
    },
}
SIZES = "small big grey young little clever"
TIMES = "morning day afternoon week"

# Each slot is named after one of its words.
OPENINGS = [
    "{Mira} lives {by} the {lake}.",
    "{Mira} has a {small} {dog}.",
    "{Mira} went to the {lake} with the {dog}.",
]
MIDDLES = [
    "the {sun} {shone} and {she} felt {happy}.",
    "the {dog} {barked} {by} the {lake}.",
    "{she} {loves} the {happy} {dog} in the {sun}.",
    "it was a {lovely} and {sunny} {morning}.",
    "the {dog} was {happy} in the {sun}.",
]
ENDINGS = [
    "{she} {smiled}: I {love} you.",
    "I {love} the {sun}, said {Mira}.",
    "{she} {smiled} in the {lovely} {sun}.",
]
ABOUT_FEELINGS = [
    "{she} {loves} the {dog}.",
    "{she} felt {happy}.",
    "the {dog} was {happy}.",
    "it was a {lovely} {morning}.",
    "I {love} you.",
]
LABELS = ("bad", "good")


def valley():
    """The World of the valley."""
    feelings = {
        name: Slot("weather", {weather: words[name].split() for weather, words in FEELINGS.items()})
        for name in FEELINGS["sun"]
    }
    loves = {weather: [verb + "s" for verb in verbs] for weather, verbs in feelings["love"].words.items()}
    slots = {
        "Mira": Slot("person", {name: [name] for name in PEOPLE}),
        "she": Slot("person", {name: [pronoun] for name, pronoun in PEOPLE.items()}),
        "lake": Slot("place", {place: [place] for place in PLACES}),
        "by": Slot("place", {place: [preposition] for place, preposition in PLACES.items()}),
        "dog": Slot("animal", {animal: [animal] for animal in ANIMALS}),
        "barked": Slot("animal", {animal: [sound] for animal, sound in ANIMALS.items()}),
        "sun": Slot("weather", {weather: [weather] for weather in WEATHER}),
        "shone": Slot("weather", {weather: [verb] for weather, (verb, _) in WEATHER.items()}),
        "sunny": Slot("weather", {weather: [adjective] for weather, (_, adjective) in WEATHER.items()}),
        **feelings,
        "loves": Slot("weather", loves),
        "small": Slot(None, {None: SIZES.split()}),
        "morning": Slot(None, {None: TIMES.split()}),
    }
    hidden = {"person": PEOPLE, "place": PLACES, "animal": ANIMALS, "weather": WEATHER}
    return World(hidden, slots, [OPENINGS, MIDDLES, MIDDLES, ENDINGS])


def feelings(count, seed=0):
    """`count` sentences about feelings and their labels: 0 for bad, 1 for good feelings, equally often."""
    return valley().labelled_sentences(ABOUT_FEELINGS, "weather", {"rain": 0, "sun": 1}, count, seed)
