#!/usr/bin/env bash
# Builds the site in docs/_build/html, with warnings as errors. The notebooks run, unless
# NEAT_OPTAX_NOTEBOOKS=off; those that have not changed come from docs/_build/.jupyter_cache.
set -euo pipefail
cd "$(dirname "$0")"
sphinx-build -W --keep-going "$@" . _build/html
