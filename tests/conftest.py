"""One thread for every worker, property tests without a clock, nothing kept between runs, Ctrl-C heard."""

import os
import signal

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("wgf", deadline=None, max_examples=40, database=None)
hypothesis.settings.load_profile("wgf")
os.environ["WGF_NO_CACHE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background has it ignored
