"""The training loop, the composition of strategies, and the mixin for transformers and TRL."""
