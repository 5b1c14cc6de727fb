"""Inner products of a gradient and its opponent, and what rules make of them.

A rule sees one `Contest`: what was measured between a gradient and its opponent, and
the two coefficients of the correction, which the rule changes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree


class Alignment(NamedTuple):
    """Inner products of a gradient `g` and an opponent `o`, summed over a scope."""

    gg: jax.Array  # [] g . g
    go: jax.Array  # [] g . o
    oo: jax.Array  # [] o . o

    @property
    def comparable(self) -> jax.Array:
        """Whether both norms are positive and finite: otherwise there is no angle."""
        positive = (self.gg > 0) & (self.oo > 0)
        return positive & (self.gg < jnp.inf) & (self.oo < jnp.inf)

    @property
    def cosine(self) -> jax.Array:
        """`g.o / (|g| |o|)` in [-1, 1]; 0 where the vectors are not comparable.

        Divides by one norm at a time: the product of two small norms underflows.
        """
        cosine = self.go * self._per_gradient * self._per_opponent
        return jnp.where(self.comparable, jnp.clip(cosine, -1.0, 1.0), 0.0)

    @property
    def norm_ratio(self) -> jax.Array:
        """`|o| / |g|`; 0 where the vectors are not comparable."""
        ratio = self.oo * self._per_opponent * self._per_gradient
        return jnp.where(self.comparable, ratio, 0.0)

    @property
    def component(self) -> jax.Array:
        """`g.o / o.o`, the projection's coefficient; 0 where not comparable."""
        component = self.go * self._per_opponent * self._per_opponent
        return jnp.where(self.comparable, component, 0.0)

    @property
    def _per_gradient(self) -> jax.Array:
        return jax.lax.rsqrt(jnp.where(self.gg > 0, self.gg, 1.0))

    @property
    def _per_opponent(self) -> jax.Array:
        return jax.lax.rsqrt(jnp.where(self.oo > 0, self.oo, 1.0))


class Contest(NamedTuple):
    """One scope's contest: what was measured, and the correction decided so far.

    The correction is `on_gradient * gradient + on_opponent * opponent`. Rules read the
    measures and return the contest with other coefficients. Every field is a scalar.

    Attributes:
      step: steps taken before this one.
      size: number of elements in the scope.
      alignment: products in the geometry of the metric, which conflict is judged by.
      raw: products in plain coordinates, which bounds and measures are stated in.
      noise: `|g - ema| / (|g| + |ema|)` against the gradient's own average; None
        unless the contest has `watch_decay`.
      steadiness: cosine with the previous gradient; None likewise.
      conflict: `max(0, -cosine)`; None before `detect_conflict`.
      strength: factor on the alpha of every correction rule that follows.
      alpha: effective alpha of the last correction rule.
      on_gradient: coefficient of the gradient in the correction.
      on_opponent: coefficient of the opponent in the correction.
    """

    step: jax.Array  # [] int32
    size: jax.Array  # [] float32, and so are the others
    alignment: Alignment
    raw: Alignment
    noise: jax.Array | None
    steadiness: jax.Array | None
    conflict: jax.Array | None
    strength: jax.Array
    alpha: jax.Array
    on_gradient: jax.Array
    on_opponent: jax.Array

    @property
    def squared_ratio(self) -> jax.Array:
        """`|correction|^2 / |gradient|^2` in plain coordinates, free of their scale."""
        a = self.on_gradient
        b = self.on_opponent * self.raw.norm_ratio
        return jnp.maximum(a * a + b * b + 2 * a * b * self.raw.cosine, 0.0)

    @property
    def correction_ratio(self) -> jax.Array:
        """`|correction| / |gradient|` in plain coordinates."""
        return _tree.root(self.squared_ratio)

    def detected(self, reader: str) -> jax.Array:
        """The conflict, for a rule that needs it to be there."""
        if self.conflict is None:
            raise ValueError(
                f"`rules` must have detect_conflict before {reader}, got none there."
            )
        return self.conflict

    def scaled(self, factor: jax.Array) -> "Contest":
        """The same contest with its correction multiplied by `factor`."""
        return self._replace(
            on_gradient=self.on_gradient * factor,
            on_opponent=self.on_opponent * factor,
        )
