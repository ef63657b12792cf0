"""Whether the code that judges is still what it was before a student's code ran.

Student and judge share a process. What a student's code leaves changed in a module, a class, a function or a formula
is found here. Whoever changes something, and puts it back before anyone looks, is not found: this guards against
mistakes and plain cheating, it is no wall.
"""

import builtins
import operator
import sys
import types

from bertnp.backend.formula import Formula

PLAIN = (int, float, str, bytes, tuple, frozenset)
CONTAINERS = (dict, list, set)
OWN = "bertnp"
WATCHED = {OWN, "numpy", "scipy", *sys.stdlib_module_names}


class Untouched:
    """A picture of the modules loaded so far, of those that judging needs, to be compared with what they are later."""

    def __init__(self, watched=WATCHED):
        names = [name for name in sys.modules if name.partition(".")[0] in watched]
        self.before = picture({name: sys.modules[name] for name in names})

    def changes(self):
        """Names of what is no longer what it was, in order."""
        now = picture({name: sys.modules.get(name) for name in self.before})
        found = [name for name in self.before if name not in now]
        for name in now:
            found += changed(name, self.before[name], now[name])
        return sorted(set(found))


def picture(modules):
    """{module: {name: what it is}}, of everything that code is made of."""
    return {
        name: dict(described(module, name)) for name, module in modules.items() if isinstance(module, types.ModuleType)
    }


def described(module, place):
    own = place.partition(".")[0] == OWN
    for name, value in list(vars(module).items()):
        if name == "__builtins__":
            continue
        if isinstance(value, types.FunctionType):
            yield name, (value, value.__code__, value.__defaults__, value.__kwdefaults__)
        elif isinstance(value, type):
            yield name, (value,)
            if value.__module__ == place:
                yield from ((f"{name}.{member}", parts) for member, parts in members(value))
        elif isinstance(value, Formula):
            yield name, (value, value.body, value.textbook, value.textbook.__code__, *value.kernels.values())
        elif callable(value) or isinstance(value, types.ModuleType):
            yield name, (value,)
        elif own and isinstance(value, PLAIN):
            yield name, (value,)
        elif own and isinstance(value, CONTAINERS):
            yield name, (value, *value, *(value.values() if isinstance(value, dict) else ()))


def members(kind):
    for name, value in list(vars(kind).items()):
        code = getattr(value, "__func__", getattr(value, "fget", value))
        if callable(code) or isinstance(value, property):
            inside = (code.__code__, code.__defaults__, code.__kwdefaults__) if hasattr(code, "__code__") else ()
            yield name, (value, *inside)


def changed(place, before, now):
    """Names in a module that have changed; new ones count only where they hide a built-in or belong to a class."""
    for name, new in now.items():
        old = before.get(name)
        if old is None:
            is_module = isinstance(new[0], types.ModuleType)
            hides = hasattr(builtins, name) and new[0] is not getattr(builtins, name)
            if (place == "builtins" or hides or "." in name) and not is_module:
                yield f"{place}.{name}"
        elif len(old) != len(new) or not all(map(operator.is_, old, new)):
            yield f"{place}.{name}"
    yield from (f"{place}.{name}" for name in before.keys() - now.keys())
