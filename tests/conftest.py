"""One thread for every worker, and property tests without a clock."""

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("wgf", deadline=None, max_examples=40, database=None)
hypothesis.settings.load_profile("wgf")
