"""Checking layers and whole models: every parameter for itself, dropout on, gradients that add up."""

import copy
import functools
import inspect

import numpy as np

from bertnp.backend import array_module, backend_of, is_array, to, to_numpy
from bertnp.gradcheck.checking import Check
from bertnp.gradcheck.report import Report
from bertnp.nn import Embedding, Module, Parameter


def check_layer(layer, *inputs, fresh=True, seed=0, max_coords=64, title=None, **options):
    """Check the backward of a layer: the gradient of its inputs, and of every parameter it has. Returns a Report.

        check_layer(nn.LayerNorm(8), x)
        check_layer(nn.SelfAttention(8, 2, p=0.25), x, packing)

    layer: an nn.Module; a copy of it is checked, so that its values and gradients stay as they are
    inputs: what its forward takes; backward returns gradients of the first arrays of floats among them
    fresh: draw values for all parameters first. At their usual beginnings, γ = 1 and biases of 0, mistakes hide.
        False: check at the values the layer has
    options: those of `check`, except wrt
    """
    if not isinstance(layer, Module):
        raise TypeError(f"layer: expected an nn.Module, got {type(layer).__name__}")
    copies = Copies(layer, fresh, seed)
    names = _positional_names(layer, inputs)
    given = dict(zip(names, inputs, strict=True))
    clash = sorted(set(given) & set(copies.values))
    if clash:
        raise ValueError(f"{type(layer).__name__} has an input and a parameter of the same name, {clash[0]!r}")
    floats = [name for name, value in given.items() if is_array(value) and value.dtype.kind == "f"]

    def run(module, arguments):
        y = module(*(arguments[name] for name in names))
        return y[0] if isinstance(y, tuple) else y

    def back(module, g):
        returned = module.backward(g)
        returned = returned if isinstance(returned, tuple) else (returned,)
        return {name: value for name, value in zip(floats, returned, strict=False) if value is not None}

    def first_pass():
        module = copies.plain(copies.dtype)
        copies.set(module, copies.values)
        y = run(module, given)
        return back(module, array_module(y).ones_like(y) if is_array(y) and y.ndim else 1.0)

    try:
        floats = list(first_pass())  # how many gradients it returns
    except Exception:  # the check itself will say what is wrong
        pass
    return _check(layer, copies, given, floats, run, back, seed, max_coords, title, options)


def check_model(model, batch, outputs=None, *, fresh=True, seed=0, max_coords=8, title=None, **options):
    """Check the whole backward of a model: every tensor of parameters, and inputs_embeds if given. Returns a Report.

        check_model(BertForMaskedLM(config), {"input_ids": ids, "attention_mask": mask, "labels": labels})

    model: a copy of it is checked, in training mode if it is, with one and the same dropout masks throughout
    batch: a dictionary of what its forward takes
    outputs: names of outputs to start from, all that backward takes a gradient of at once; None: the loss if the batch
        has labels, else all of them
    fresh, options: as in `check_layer`
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if not isinstance(batch, dict):
        raise TypeError(f"batch: expected a dictionary of the forward's arguments, got {type(batch).__name__}")
    copies = Copies(model, fresh, seed)
    floats = ["inputs_embeds"] if is_array(batch.get("inputs_embeds")) else []
    takes, shapes = _outputs_of(model), {}
    chosen = [outputs] if isinstance(outputs, str) else outputs and list(outputs)
    if chosen and chosen != ["loss"]:
        for name in chosen:
            if name not in takes:
                known = ", ".join(["loss", *takes])
                raise ValueError(f"outputs: backward does not start from {name!r}; it does from one of {known}")

    def run(module, arguments):
        nonlocal chosen
        out = module(**{name: arguments[name] for name in batch})
        if chosen is None:
            chosen = ["loss"] if "loss" in out else [name for name in takes if name in out]
        if chosen == ["loss"]:
            return out.loss
        parts = [out[name] for name in chosen]
        shapes.update({name: part.shape for name, part in zip(chosen, parts, strict=True)})
        return array_module(*parts).concatenate([part.reshape(-1) for part in parts])

    def back(module, g):
        if chosen == ["loss"]:
            dembeds = module.backward(scale=g)
        else:
            gradients, start = {}, 0
            for name in chosen:
                size = int(np.prod(shapes[name]))
                gradients[f"d{name}"] = g[start : start + size].reshape(shapes[name])
                start += size
            dembeds = module.backward(**gradients)
        return {name: dembeds for name in floats}

    return _check(model, copies, dict(batch), floats, run, back, seed, max_coords, title, options)


def _outputs_of(model):
    """Names of the outputs whose gradient the model's backward starts from."""
    return [name[1:] for name in inspect.signature(model.backward).parameters if name.startswith("d")]


def _positional_names(layer, inputs):
    names = list(inspect.signature(layer.forward).parameters)
    if len(inputs) > len(names):
        raise TypeError(f"{type(layer).__name__}.forward takes {', '.join(names)}; got {len(inputs)} inputs")
    return names[: len(inputs)]


def _check(layer, copies, given, floats, run, back, seed, max_coords, title, options):
    """What layers and models have in common."""
    parameters = list(copies.values)

    def f(**arguments):
        kinds = [arguments[name].dtype for name in (*parameters, *floats)]
        module = copies.held(np.result_type(*kinds) if kinds else copies.dtype)
        copies.set(module, {name: arguments[name] for name in parameters})
        return run(module, arguments)

    def gradients(module):
        return {name: parameter.grad for name, parameter in module.named_parameters()}

    def backward(g, **arguments):
        module = copies.plain(copies.dtype)
        copies.set(module, {name: arguments[name] for name in parameters})
        _clear(module)
        run(module, arguments)
        returned = back(module, g)
        for name, parameter in module.named_parameters():
            arguments[name][...] = parameter.data  # so that a backward which writes to them is found out
        return gradients(module) | returned

    def twice(g):
        module = copies.plain(copies.dtype)
        _clear(module)
        cotangent = float(g) if np.ndim(g) == 0 else None
        for _ in range(2):
            y = run(module, {**given})
            if cotangent is None:
                cotangent = backend_of(y).asarray(g.astype(to_numpy(y).dtype))
            back(module, cotangent)
        return {name: np.array(to_numpy(gradient)) for name, gradient in gradients(module).items()}

    title = title or type(layer).__name__
    if not parameters and not floats:
        report = Report(title)
        report.fail("runs", "there is nothing to check: it has no parameters and no input of floats.")
        return report
    return Check(
        f, backward, {**copies.values, **given}, wrt=[*floats, *parameters], seed=seed, max_coords=max_coords,
        title=title, block=True, twice=twice if parameters else None, **options,
    ).run()  # fmt: skip


def _clear(module):
    """Gradients of zero, also where none have been allocated yet."""
    module.buffer.allocate_grad()
    module.buffer.zero_grad()


class Copies:
    """Copies of a layer in every float type that a check needs, with parameters that can be set by name.

    values: {name: array}, the values at which the layer is checked, on its device
    plain(dtype) is a faithful copy, for the backward. held(dtype), for the slopes, differs in one thing: a table whose
    padding row learns nothing from being looked up is looked up in a second table, in which that row never moves.
    """

    def __init__(self, layer, fresh, seed):
        self.layer = copy.deepcopy(layer)
        for _, module in self.layer.named_modules():  # it may be part of a model, and is now a whole of its own
            module.name, module._saved = "", None
            if hasattr(module, "dropout_streams"):
                streams = module.dropout_streams
                streams.hold = True  # the same masks in every forward, so drawing them once will do
                streams.keep = functools.cache(streams.keep)
        if layer.buffer is None:
            self.layer.initialize(seed, dtype=np.float64)
        else:
            self.layer.allocate(layer.dtype, layer.buffer.backend)
        self.dtype = self.layer.dtype
        rng = np.random.default_rng([seed, 77])
        self.values = {}
        for name, parameter in self.layer.named_parameters():
            values = np.array(to_numpy(parameter.data))
            if fresh:
                values = fresh_values(parameter, rng).astype(self.dtype)
            self.values[name] = to(values, self.layer.buffer.backend)
        self.made = {}
        self.last = {}  # id of a copy -> what each of its parameters was set to

    def plain(self, dtype):
        return self._made("plain", np.dtype(dtype))

    def held(self, dtype):
        return self._made("held", np.dtype(dtype))

    def _made(self, kind, dtype):
        if (kind, dtype) not in self.made:
            made = copy.deepcopy(self.layer)
            for _, module in made.named_modules():
                module.name = ""
            if kind == "held":
                self._second_tables(made)
            made.allocate(dtype, self.layer.buffer.backend)
            self.made[kind, dtype] = made
        return self.made[kind, dtype]

    def _second_tables(self, made):
        """Give every lookup with a padding row a table of its own beside the parameter it reads."""
        made.second_tables = []  # a list of modules: their parameters are found like all others
        names = {id(parameter): name for name, parameter in made.named_parameters()}
        made.first_tables = {}
        for _, module in list(made.named_modules()):
            if isinstance(module, Embedding) and module.padding_idx is not None:
                table = module.weight
                module.weight = Parameter(table.shape, "zeros")
                holder = Module()
                holder.weight = table
                made.second_tables.append(holder)
                made.first_tables[names[id(table)]] = (table, module.weight, module.padding_idx)

    def set(self, module, values):
        """Set parameters, those alone that are not set to this very array already."""
        last = self.last.setdefault(id(module), {})
        first_tables = getattr(module, "first_tables", {})
        parameters = module.__dict__.get("parameters_by_name")
        if parameters is None:
            parameters = module.parameters_by_name = dict(module.named_parameters())
        for name, array in values.items():
            if last.get(name) is array:
                continue
            if name in first_tables:
                table, looked_up, row = first_tables[name]
                table.data = looked_up.data = array
                looked_up.data[row] = self.values[name][row]
            else:
                parameters[name].data = array
            last[name] = array


def fresh_values(parameter, rng):
    """Values at which nothing cancels: γ away from 1, biases away from 0, weights that keep their input's size."""
    drawn = rng.normal(size=parameter.shape)
    if parameter.init == "ones":
        return 1.5 + 0.4 * drawn
    if parameter.init == "zeros":
        return 0.5 * drawn
    return drawn / np.sqrt(parameter.shape[-1])
