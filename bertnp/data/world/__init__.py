"""An invented world: a corpus made by a seeded grammar, whose best possible loss is known exactly."""

from bertnp.data.world.floor import Floor, all_masked
from bertnp.data.world.grammar import Slot, World, unigram_entropy
from bertnp.data.world.valley import feelings, valley

__all__ = ["Floor", "Slot", "World", "all_masked", "feelings", "unigram_entropy", "valley"]
