"""One thread for every worker, property tests without a clock, nothing kept between runs, Ctrl-C heard."""

import gc
import logging
import os
import signal
import sys

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("wgf", deadline=None, max_examples=20, database=None)
hypothesis.settings.load_profile("wgf")
sys.dont_write_bytecode = False  # compiling the tests anew, with their assertions, takes 5 s in each process
os.environ["WGF_NO_CACHE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background has it ignored


def pytest_collection_finish() -> None:
    """Leave modules and tests, which live as long as the process, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_log_file_left_open():
    """A command that ran in this process leaves its log file open, in a folder that pytest removes."""
    yield
    for handler in [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]:
        logging.getLogger().removeHandler(handler)
        handler.close()
