"""How much of each text is kept, and the windows over what is left."""


def kept_lengths(first, second, room, strategy, tie="second"):
    """How many tokens of a first and a second text (None: no second) stay when both together may have `room`.

    longest_first takes tokens off the longer text, so that two long texts get half each; of an odd number the longer
    text gets the larger half, and among equals the one that `tie` names (the Rust tokenizers package favours the
    second, Devlin et al.'s code the first). only_first and only_second shorten that text alone.
    """
    excess = first + (second or 0) - room
    if excess <= 0:
        return first, second
    if room == 0:
        return 0, None if second is None else 0
    if strategy == "only_second" and second is None:
        raise ValueError("truncation='only_second' needs a second text, and there is none")
    if strategy == "longest_first" and second is None:
        return room, None
    if strategy == "longest_first":
        shorter = min(first, second)
        if tie == "second":
            shorter = min(shorter, room // 2)
            return (room - shorter, shorter) if first > second else (shorter, room - shorter)
        half = room - room // 2
        if shorter < half:
            return (room - shorter, shorter) if first > second else (shorter, room - shorter)
        return half, room - half
    shortened = first if strategy == "only_first" else second
    if shortened <= excess:
        raise ValueError(
            f"truncation={strategy!r} cannot take {excess} tokens off a text of {shortened}: "
            "give a larger max_length or truncation='longest_first'"
        )
    return (first - excess, second) if strategy == "only_first" else (first, second - excess)


def windows(length, size, stride, side):
    """(start, stop) of the windows of `size` tokens over a text of `length`; neighbours share `stride` tokens.

    The first is what truncation keeps: the beginning of the text, or with side="left" its end.
    """
    if length <= size:
        return [(0, length)]
    if size == 0:  # nothing of the text fits: an empty window, and then all of it
        return [(0, 0), (0, length)]
    if stride >= size:
        raise ValueError(f"stride={stride} must be smaller than the {size} tokens of a text that fit into max_length")
    spans = []
    start = 0
    while not spans or spans[-1][1] < length:
        spans.append((start, min(start + size, length)))
        start += size - stride
    return spans if side == "right" else [(length - stop, length - start) for start, stop in spans]
