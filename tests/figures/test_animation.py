"""The film of the density."""

import io
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from saved_solutions import TITLE, only_start, solution, with_gap

from wgf.errors import ConfigError
from wgf.figures.animation import film, kinds
from wgf.saved_maps import SavedMaps


def test_animation_moves():
    with Image.open(io.BytesIO(film(solution(4), TITLE).gif)) as movie:
        assert (movie.format, movie.size, movie.n_frames, movie.info["loop"]) == ("GIF", (640, 426), 5, 0)
        frames = []
        for k in range(5):
            movie.seek(k)
            frames.append(np.asarray(movie.convert("RGB"), dtype=float))
            assert movie.info["duration"] == (1200 if k == 4 else 750)
    assert (frames[3][5, 5] == 255).all()  # white, as in every other figure
    still = np.abs(frames[1] - frames[0]).max(axis=2) == 0
    assert 0.8 < still.mean() < 0.999
    assert all(np.abs(b - a).max() > 50 for a, b in pairwise(frames))
    with Image.open(io.BytesIO(film(solution(200), TITLE).gif)) as movie:
        assert movie.n_frames == 60  # many saved times make no long film


def test_a_film_is_shown_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    moving = film(solution(4), TITLE)
    assert moving._repr_html_().startswith('<img alt="film of the density" src="data:image/gif;base64,')
    moving.save(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes() == moving.gif
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.gif or \.mp4"):
        moving.save(tmp_path / "film.avi")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kinds() == [".gif"]
    with pytest.raises(ConfigError, match=r"an \.mp4 file needs the program ffmpeg: install it, or save a \.gif"):
        moving.save(tmp_path / "film.mp4")
    program = tmp_path / "ffmpeg"  # counts the bytes of the frames
    program.write_text('#!/bin/sh\nfor target; do :; done\n/usr/bin/wc -c > "$target"\n')
    program.chmod(0o755)
    assert kinds() == [".gif", ".mp4"]
    film(solution(4), TITLE).save(tmp_path / "film.mp4")
    assert int((tmp_path / "film.mp4").read_text()) == (5 + 2) * 640 * 426 * 3  # the last one is held 1.2 s
    program.write_text("#!/bin/sh\necho no codec >&2\nexit 1\n")
    with pytest.raises(ConfigError, match=r"ffmpeg wrote no film \(no codec\): save a \.gif file"):
        film(solution(4), TITLE).save(tmp_path / "again.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_real_ffmpeg_keeps_the_frames(tmp_path: Path):
    moving = film(solution(4), TITLE)
    moving.save(tmp_path / "film.mp4")
    read = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "film.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    frames = np.frombuffer(subprocess.run(read, capture_output=True, check=True).stdout, dtype=np.uint8)
    seen = frames.reshape(-1, 426, 640, 3).astype(float)
    assert len(seen) == 5 + 2
    for one, other in zip(seen, [*moving.frames, moving.frames[-1], moving.frames[-1]], strict=True):
        assert np.abs(one - np.asarray(other, dtype=float)).mean() < 4  # of 255


@pytest.mark.parametrize("make", [only_start, with_gap])
def test_animation_of_odd_runs(make: Callable[[], SavedMaps]):
    with Image.open(io.BytesIO(film(make(), TITLE).gif)) as movie:
        assert np.asarray(movie.convert("RGB")).std() > 5
