"""Imports without garbage collection."""

import gc

from wgf.loading import loading


def test_garbage_is_collected_again_after_an_import():
    frozen = gc.get_freeze_count()
    try:
        with loading("torch"):
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
