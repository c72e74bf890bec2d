"""The command line, with a lossless stand-in for the networks (tests/fake_codec.py)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.reader import StreamReader
from tests.cli.command_line import Run
from tests.cli.running import FRAMES, in_process_of_its_own, left_over, pictures, y4m


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "in.y4m"
    path.write_bytes(y4m())
    return path


def test_there_and_back(run: Run, clip: Path, tmp_path: Path) -> None:
    done = run("encode", "in.y4m", "a.rq", "--gop", 5, "-q", 40, "--roi", "0,0,16,16")
    assert done.status == 0, done.err
    size = (tmp_path / "a.rq").stat().st_size
    assert done.out.startswith(f"a.rq: 12 frames, {size} bytes, ")
    assert not done.err

    done = run("info", "a.rq", "--json", "--frames")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["totals"]["bytes"] == size
    assert [f["type"] for f in found["frames"]].count("intra") == 3
    assert {f["quality"] for f in found["frames"]} == {40}
    assert {f["roi_share"] for f in found["frames"]} == {1 / 6}
    assert found["header"]["encoder"].startswith("roicodec ")

    done = run("decode", "a.rq", "out.y4m")
    assert done.status == 0, done.err
    assert pictures((tmp_path / "out.y4m").read_bytes()) == pictures(clip.read_bytes())
    assert left_over(tmp_path) == {"in.y4m", "a.rq", "out.y4m"}


def test_options_reach_the_encoder(run: Run, clip: Path, tmp_path: Path) -> None:
    run("encode", clip, "a.rq", "--candidates", "2,6", "--gop", 3, "--quality", 7)
    with (tmp_path / "a.rq").open("rb") as file:
        reader = StreamReader(file)
        frames = [c.frame for c in reader if isinstance(c, Chunk) and c.frame]
    assert [c.bits for c in reader.header.candidates] == [2, 6]
    assert reader.header.gop == 3
    assert reader.header.frame_rate == 25
    assert {f.quality for f in frames} == {7}


def test_roi_at_times_goes_by_the_time_base(run: Run, clip: Path) -> None:
    """0.08 to 0.2 seconds of 25 frames a second."""
    assert run("encode", clip, "a.rq", "--roi", "0,0,37,22,0.08,0.2").status == 0
    frames = json.loads(run("info", "a.rq", "--json", "--frames").out)["frames"]
    assert [f["roi_share"] for f in frames] == [0, 0, 1, 1, 1, *[0] * 7]


def test_share_and_level_of_the_automatic_roi(run: Run, clip: Path) -> None:
    def areas(*options: str) -> list[float]:
        assert run("encode", clip, "a.rq", "-f", *options).status == 0
        frames = json.loads(run("info", "a.rq", "--json", "--frames").out)["frames"]
        return [f["roi_share"] for f in frames]

    assert max(areas("--roi-share", "0.1")) < min(areas("--roi-share", "0.9"))
    assert set(areas("--roi-level", "0.000001")) == {1}
    assert set(areas("--roi-level", "0.999")) == {0}


@pytest.mark.parametrize(("choice", "kept"), [("2:5", (2, 5)), (":3", (0, 3)), ("9:", (9, 12))])
def test_frames(run: Run, clip: Path, tmp_path: Path, choice: str, kept: tuple[int, int]) -> None:
    assert run("encode", clip, "a.rq", "--frames", choice).status == 0
    assert run("decode", "a.rq", "out.y4m").status == 0
    expected = pictures(clip.read_bytes())[slice(*kept)]
    assert pictures((tmp_path / "out.y4m").read_bytes()) == expected


def test_json(run: Run, clip: Path, tmp_path: Path) -> None:
    done = run("encode", clip, "a.rq", "--json", "--structure", "8")
    found = json.loads(done.out)
    assert found["structure"] == "8"
    assert found["frames"] == FRAMES
    assert found["bytes"] == (tmp_path / "a.rq").stat().st_size
    assert found["duration"] == pytest.approx(FRAMES / 25)
    assert found["bit_rate"] == pytest.approx(8 * found["bytes"] / found["duration"])
    found = json.loads(run("decode", "a.rq", "b.y4m", "--json").out)
    assert (found["frames"], found["frames_lost"], found["truncated"]) == (FRAMES, 0, False)


def test_quiet(run: Run, clip: Path) -> None:
    for arguments in (["encode", clip, "a.rq"], ["decode", "a.rq", "b.y4m"]):
        done = run(*arguments, "--quiet")
        assert (done.status, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize("command", [["encode", "in.y4m", "out"], ["decode", "a.rq", "out.y4m"]])
def test_existing_output(run: Run, clip: Path, tmp_path: Path, command: list[str]) -> None:
    run("encode", "in.y4m", "a.rq")
    out = tmp_path / command[-1]
    out.write_bytes(b"precious")
    done = run(*command)
    assert done.status == 1
    assert done.error == f"{out.name} exists; give another name, or -f to overwrite it"
    assert out.read_bytes() == b"precious"
    assert run(*command, "-f").status == 0
    assert out.stat().st_size > 1000


def test_output_over_input(run: Run, clip: Path) -> None:
    done = run("encode", "in.y4m", clip, "-f")
    assert done.status == 1
    assert "is the input" in done.error
    assert clip.read_bytes() == y4m()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "none.mp4", "a.rq"], "none.mp4: no such file"),
        (["encode", "text.txt", "a.rq"], "text.txt: not a video"),
        (["encode", "in.y4m", "no/a.rq"], "no/a.rq: the folder"),
        (["encode", "in.y4m", "a.rq", "--roi", "nowhere.png"], "nowhere.png"),
        (["encode", "in.y4m", "a.rq", "--frames", "50:"], "has only 12 frames"),
        (["decode", "none.rq", "a.mp4"], "none.rq: cannot be read (No such file"),
        (["decode", "text.txt", "a.mp4"], "text.txt: not an .rq stream"),
        (["decode", "good.rq", "a.xyz"], "a.xyz: cannot tell the format"),
        (["decode", "good.rq", "no/a.mp4"], "no/a.mp4: the folder"),
        (["decode", "good.rq", "a.mp4", "--codec", "h269"], "h269"),
        (["info", "none.rq"], "none.rq: cannot be read (No such file"),
        (["info", "text.txt"], "text.txt: not an .rq stream"),
        (["info", "."], "Is a directory"),
    ],
)
def test_errors(run: Run, clip: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "text.txt").write_text("no video at all\n" * 9)
    run("encode", clip, "good.rq")
    before = left_over(tmp_path)
    done = run(*arguments)
    assert done.status == 1
    assert message in done.error
    assert len(done.err.splitlines()) == 1
    assert left_over(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode"], "Missing argument 'IN OUT.rq'"),
        (["encode", "a", "b", "-q", "64"], "0<=x<=63"),
        (["encode", "a", "b", "--candidates", "4,x"], "whole numbers"),
        (["encode", "a", "b", "--candidates", "1"], "2 to 16, or 0"),
        (["encode", "a", "b", "--candidates", "0"], "other than 0"),
        (["encode", "a", "b", "--candidates", "8,8"], "named once"),
        (["encode", "a", "b", "--frames", "5"], "first:end"),
        (["encode", "a", "b", "--frames", "5:5"], "lies after it"),
        (["encode", "a", "b", "--frames", "-5:5"], "0 or later"),
        (["encode", "a", "b", "--threads", "0"], "1<=x<=256"),
        (["encode", "a", "b", "--roi-share", "1"], "range 0<x<1"),
        (["encode", "a", "b", "--roi-level", "0"], "range 0<x<1"),
        (["encode", "a", "b", "--roi-share", ".1", "--roi-level", ".5"], "exclude each other"),
        (["encode", "a", "b", "--roi", "none", "--roi-share", ".1"], "--roi-share is for --roi"),
        (["encode", "a", "b", "--roi", "m.png", "--roi-level", ".1"], "--roi-level is for --roi"),
        (["decode", "a", "b", "--backend", "gpu"], "'reference'"),
        (["decode", "a", "b", "--nothing"], "--nothing"),
        (["info", "a", "--json", "--csv"], "exclude each other"),
        (["transcode"], "transcode"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert message in done.error
    assert "--help" in done.error


def test_help_tells_defaults_and_examples(run: Run) -> None:
    for command in ("encode", "decode", "info"):
        done = run(command, "--help")
        assert done.status == 0
        assert "Examples:" in done.out
    out = run("encode", "--help").out
    assert "default: 4,8,16" in out
    assert "default: 40" in out
    assert "ROICODEC_THREADS" in out


def test_missing_model(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("encode", clip, "a.rq")
    monkeypatch.setenv("FAKE_NO_MODEL", "1")
    for arguments in (["encode", clip, "b.rq"], ["decode", "a.rq", "b.y4m"]):
        done = run(*arguments)
        assert done.status == 1
        assert "weights are missing" in done.error
    assert run("info", "a.rq").status == 0
    assert left_over(clip.parent) == {"in.y4m", "a.rq"}


def chunks_of(path: Path) -> list[Chunk]:
    with path.open("rb") as file:
        return [c for c in StreamReader(file) if isinstance(c, Chunk)]


@pytest.mark.parametrize(("hit", "lost"), [(0, 4), (5, 3), (7, 1), (11, 1)])
def test_damage_costs_no_more_than_its_gop(
    run: Run, clip: Path, tmp_path: Path, hit: int, lost: int
) -> None:
    run("encode", clip, "a.rq", "--gop", 4)
    path = tmp_path / "a.rq"
    chunk = next(c for c in chunks_of(path) if c.number == hit)
    data = bytearray(path.read_bytes())
    data[chunk.offset + chunk.size // 2] ^= 5
    path.write_bytes(data)
    done = run("decode", "a.rq", "b.y4m")
    assert done.status == 1
    assert done.error == f"a.rq: damaged: {lost} of 12 frames are lost, the others decoded"
    assert f"{chunk.size} damaged bytes at byte {chunk.offset}" in done.err
    expected = pictures(clip.read_bytes())
    gone = range(hit, hit + lost)
    kept = [p for n, p in enumerate(expected) if n not in gone]
    assert pictures((tmp_path / "b.y4m").read_bytes()) == kept
    done = run("info", "a.rq")
    assert done.status == 1
    assert "1 frames missing" in done.error


def test_limits_of_the_caller(run: Run, clip: Path, tmp_path: Path) -> None:
    run("encode", clip, "a.rq", "--gop", 4)
    with (tmp_path / "a.rq").open("rb") as file:
        header = StreamReader(file).header
    pixels = header.width * header.height
    assert run("decode", "a.rq", "b.y4m", "--max-pixels", pixels, "--max-frames", 12).status == 0
    assert run("info", "a.rq", "--max-pixels", pixels, "--max-frames", 12).status == 0
    for command in (("decode", "a.rq", "c.y4m"), ("info", "a.rq")):
        done = run(*command, "--max-pixels", pixels - 1)
        assert done.status == 1
        assert f"more than the limit of {pixels - 1}" in done.error
        done = run(*command, "--max-pixels", 0)
        assert done.status == 2
    assert not (tmp_path / "c.y4m").exists()
    done = run("decode", "a.rq", "d.y4m", "--max-frames", 5)
    assert done.status == 1
    assert "frame 5 is beyond the limit of 5 frames" in done.err
    assert pictures((tmp_path / "d.y4m").read_bytes()) == pictures(clip.read_bytes())[:5]
    assert "frame 5 is beyond the limit" in run("info", "a.rq", "--max-frames", 5).err


def test_wrong_reconstruction_is_never_written(run: Run, clip: Path, tmp_path: Path) -> None:
    """Sound chunks, but a decoder that does not agree with the encoder."""
    run("encode", clip, "a.rq", "--gop", 4)
    done = run("decode", "a.rq", "b.y4m", wrong=(5, 10))
    assert done.status == 1
    assert "5 of 12 frames are lost" in done.error
    assert "frame 5 at byte" in done.err
    expected = pictures(clip.read_bytes())
    kept = [p for n, p in enumerate(expected) if n in (0, 1, 2, 3, 4, 8, 9)]
    assert pictures((tmp_path / "b.y4m").read_bytes()) == kept


def test_truncated(run: Run, clip: Path, tmp_path: Path) -> None:
    run("encode", clip, "a.rq", "--gop", 4)
    path = tmp_path / "a.rq"
    end = next(c.offset + c.size for c in chunks_of(path) if c.number == 6)
    path.write_bytes(path.read_bytes()[: end + 50])
    done = run("decode", "a.rq", "b.y4m")
    assert done.status == 1
    assert "it is cut; 7 are decoded" in done.error
    assert pictures((tmp_path / "b.y4m").read_bytes()) == pictures(clip.read_bytes())[:7]
    assert "cut" in run("info", "a.rq").error


def test_nothing_decodable_leaves_no_file(run: Run, clip: Path, tmp_path: Path) -> None:
    run("encode", clip, "a.rq")
    path = tmp_path / "a.rq"
    first = next(c for c in chunks_of(path) if c.number == 0)
    path.write_bytes(path.read_bytes()[: first.offset + 100])
    done = run("decode", "a.rq", "b.y4m")
    assert done.status == 1
    assert "no frame of it can be decoded" in done.error
    assert left_over(tmp_path) == {"in.y4m", "a.rq"}


def test_progress_bar_on_a_terminal(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FAKE_SECONDS", "0.1")
    assert run("encode", clip, "a.rq").status == 0
    shown = terminal.getvalue()
    assert "fps" in shown
    assert "/12" in shown
    assert "\x1b[" in shown


def test_audio_goes_there_and_back(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as out:
        video = out.add_stream("ffv1", 25, pix_fmt="yuv420p", width=64, height=48)
        sound = out.add_stream("pcm_s16le", 8000, layout="mono")
        for n in range(10):
            frame = av.VideoFrame.from_ndarray(
                np.full((72, 64), 20 * n, np.uint8), format="yuv420p"
            )
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(video.encode(frame))
            tone = np.full((1, 320), 100 * n, np.int16)
            samples = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            samples.sample_rate, samples.pts = 8000, 320 * n
            out.mux(sound.encode(samples))
        out.mux(video.encode())
        out.mux(sound.encode())

    def packets(path: Path) -> list[tuple[int | None, bytes]]:
        with av.open(str(path)) as file:
            return [(p.pts, bytes(p)) for p in file.demux(audio=0) if p.size]

    assert run("encode", source, "a.rq").status == 0
    assert run("decode", "a.rq", "out.mkv", "--codec", "ffv1").status == 0
    assert packets(tmp_path / "out.mkv") == packets(source)
    totals = json.loads(run("info", "a.rq", "--json").out)["totals"]
    assert totals["bytes_by_part"]["tracks_and_packets"] > 10 * 640
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        times = [[f.pts for f in file.decode(video=0)] for file in (before, after)]
    assert times[0] == times[1]


def test_pipes(clip: Path) -> None:
    encode = in_process_of_its_own(
        "encode", "-", "-", stdin=clip.open("rb"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    decode = in_process_of_its_own(
        "decode", "-", "-", stdin=encode.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = decode.communicate()
    assert encode.wait() == 0
    assert decode.returncode == 0, err
    assert pictures(out) == pictures(clip.read_bytes())
    assert b"12 frames" in err


def test_reader_of_the_output_goes_away(run: Run, clip: Path) -> None:
    clip.write_bytes(y4m(200))
    run("encode", clip, "a.rq")
    decode = in_process_of_its_own(
        "decode", "a.rq", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=clip.parent
    )
    assert decode.stdout is not None
    assert decode.stderr is not None
    decode.stdout.read(10)
    decode.stdout.close()
    assert decode.wait() == 1
    assert decode.stderr.read() == b""


def test_a_target_that_was_missed_is_told(run: Run, clip: Path) -> None:
    done = run("encode", clip, "a.rq", "--target-psnr", "60")
    assert done.status == 0
    assert "warning: the mean PSNR is low" in done.err
    assert "PSNR" not in run("encode", clip, "b.rq", "--target-psnr", "40").err


def test_doctor(run: Run) -> None:
    done = run("doctor", "--backend", "reference", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["chosen"] == "reference"
    assert {b["name"] for b in found["backends"]} == {"native", "onednn", "reference"}
