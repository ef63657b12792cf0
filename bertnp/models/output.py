"""What a model's forward returns."""

from bertnp.backend import as_array, computed


class ModelOutput:
    """The results of a forward by name: out.loss, out.logits, …; out["logits"] and out[0] work too.

    A result may be worked out only when it is first read. Those that were not asked for are None and not counted.
    """

    parts = None  # {argument: LossPart} of the losses that `loss` is the sum of, by the argument of their labels

    def __init__(self, *, parts=None, **results):
        self._results = results
        self.parts = parts

    def __getattr__(self, name):
        results = self.__dict__.get("_results", {})
        if name not in results:
            raise AttributeError(f"this output has no {name!r}; it has {', '.join(results)}")
        value = results[name]
        if isinstance(value, WhenRead):
            value = results[name] = value.compute()
        return value

    def __getitem__(self, key):
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __contains__(self, key):
        return key in self.keys()

    def __iter__(self):
        return iter(self.keys())

    def __repr__(self):
        return f"ModelOutput({', '.join(self.keys())})"

    def keys(self):
        """Names of the results that are there, in order."""
        return [name for name, value in self._results.items() if value is not None]

    def items(self):
        return [(name, getattr(self, name)) for name in self.keys()]

    def to_tuple(self):
        return tuple(getattr(self, name) for name in self.keys())


class LossPart:
    """One of the losses that a model's loss is the sum of: a mean over labelled items.

    loss: ()   logits: (n, C)   labels: (n,) host integers, -100 where there is none
    """

    def __init__(self, loss, logits, labels):
        self.loss = loss
        self.logits = logits
        self.labels = labels

    def correct(self):
        """How many labelled items have their label as the likeliest class: (), beside the logits."""
        return (computed(self.logits).argmax(axis=-1) == as_array(self.labels, like=self.logits)).sum()


class WhenRead:
    """A result to be computed when it is first read."""

    def __init__(self, compute):
        self.compute = compute
