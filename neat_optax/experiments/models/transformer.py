"""A small transformer: of sentences with a label, and of characters."""

import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax.experiments.models.heads import OneHead

PADDING = 0  # the token that no other looks at


class Block(nnx.Module):
    """Attention and two dense layers, each after LayerNorm, added to what comes in."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.first = nnx.Linear(width, 4 * width, rngs=rngs)
        self.second = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """[examples, length, width]; the mask is [examples, 1, length, length]."""
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.second(nnx.gelu(self.first(self.norm2(x))))


class TextTrunk(nnx.Module):
    """Vaswani et al. 2017, with the normalization before each layer.

    Args:
      num_tokens: numbers of tokens, that of padding included.
      length: tokens of a sentence.
      causal: whether a token sees only those before it.
      rngs: for the initial weights.
    """

    hidden = ()
    width = 64

    def __init__(
        self, num_tokens: int, length: int, *, causal: bool = False, rngs: nnx.Rngs
    ):
        self.causal = causal
        self.tokens = nnx.Embed(num_tokens, self.width, rngs=rngs)
        self.places = nnx.Embed(length, self.width, rngs=rngs)
        self.blocks = nnx.List([Block(self.width, rngs=rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(self.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, length, width] of tokens; their mean, unless it is causal."""
        present = x != PADDING
        mask = nnx.make_attention_mask(jnp.ones_like(present), present)
        if self.causal:
            mask = nnx.combine_masks(mask, nnx.make_causal_mask(x))
        y = self.tokens(x) + self.places(jnp.arange(x.shape[1]))[None]
        for block in self.blocks:
            y = block(y, mask)
        y = self.norm(y)
        if self.causal:
            return y
        present = present[..., None]
        return jnp.sum(present * y, axis=1) / jnp.maximum(present.sum(axis=1), 1)


class Transformer(OneHead):
    """A `TextTrunk`, and one linear layer: causal, it has logits for every token."""

    def __init__(
        self,
        num_tokens: int,
        length: int,
        num_classes: int,
        *,
        causal: bool = False,
        rngs: nnx.Rngs,
    ):
        trunk = TextTrunk(num_tokens, length, causal=causal, rngs=rngs)
        super().__init__(trunk, num_classes, rngs=rngs)
