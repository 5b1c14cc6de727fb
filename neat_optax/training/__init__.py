"""The main job: train a Flax network side by side with its controls.

Needs the extra `train`: `pip install "neat-optax[train]"`.
"""
