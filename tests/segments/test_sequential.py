"""Segments in one process: the bytes of an encode without them, and of one that was interrupted."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from roicodec.bitstream.writer import StreamWriter
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.given import roi_source
from roicodec.errors import InputError
from roicodec.factory import CodecFactory, PictureEncoder
from roicodec.segments.store import SegmentStore, finished_parts
from roicodec.segments.work import Work
from tests import tiny_model
from tests.fake_codec import FakeFactory
from tests.segments.clips import GOP, Heard, encoded, scene, write_clip


class TinyFactory(FakeFactory):
    """The real coder with a small model."""

    def encoder(self, width, height, options, roi, backend) -> PictureEncoder:  # type: ignore[no-untyped-def,override] # noqa: ANN001
        return FrameEncoder(width, height, options, roi, tiny_model.model())


def without_segments(source: Path, options: EncoderOptions, factory: CodecFactory) -> bytes:
    """The stream of one frame encoder for the whole video."""
    out = io.BytesIO()
    work = Work(str(source), {}, options, "0,0,16,16")
    with work.open() as reader:
        work = work.filled(reader)
        info = reader.info
        roi = roi_source(work.roi, info.width, info.height)
        encoder = factory.encoder(info.width, info.height, work.options, roi, None)
        with StreamWriter(out, work.header(info, encoder.header_fields)[0]) as writer:
            for picture in [*reader, None]:
                for coded in encoder.encode(picture):
                    writer.write_frame(coded.chunk)
    return out.getvalue()


@pytest.mark.parametrize("structure", ["low-delay", "4"])
def test_bytes_are_those_without_segments_where_gops_align(tmp_path: Path, structure: str) -> None:
    source = write_clip(tmp_path / "a.y4m", scene(0, 70, 32, 16))
    options = EncoderOptions(gop=GOP, structure=structure, effort=1)
    alone = without_segments(source, options, TinyFactory())
    assert encoded(source, options=options, factory=TinyFactory()) == alone


def test_a_second_scene_is_found_by_segments_and_encoder_alike(tmp_path: Path) -> None:
    pictures = [
        p for seed, n in ((0, 65), (1, 3)) for p in tiny_model.pictures(32, 16, n, seed=seed)
    ]
    source = write_clip(tmp_path / "a.y4m", pictures)
    options = EncoderOptions(gop=96, effort=1)
    alone = without_segments(source, options, TinyFactory())
    assert encoded(source, options=options, factory=TinyFactory()) == alone


class Interrupted(Heard):
    """Ends an encode at a frame."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def frame(self, done: int) -> None:
        super().frame(done)
        if done > self._at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [10, 64, 65, 150, 199])
def test_an_interrupted_encode_goes_on_to_the_same_bytes(tmp_path: Path, at: int) -> None:
    source = write_clip(tmp_path / "a.mkv", scene(0, 200), sound=True)
    whole = encoded(source)
    folder = tmp_path / "a.rq.parts"
    with pytest.raises(KeyboardInterrupt), SegmentStore(folder) as store:
        encoded(source, store=store, listener=Interrupted(at))
    kept = at // 64
    assert len(finished_parts(folder)) == kept
    assert folder.exists() == bool(kept)
    if kept:
        with (
            pytest.raises(InputError, match="an interrupted run has left"),
            SegmentStore(folder) as store,
        ):
            encoded(source, store=store)
    counted = CountingFactory()
    with SegmentStore(folder, resume=True) as store:
        assert encoded(source, store=store, factory=counted) == whole
    assert not folder.exists()
    assert counted.pictures == 200 - 64 * kept


class CountingFactory(FakeFactory):
    """Counts the pictures that are encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0

    def encoder(self, *given) -> PictureEncoder:  # type: ignore[no-untyped-def,override] # noqa: ANN002
        encoder = super().encoder(*given)
        encode = encoder.encode

        def counted(picture):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            self.pictures += picture is not None
            return encode(picture)

        encoder.encode = counted  # type: ignore[method-assign]
        return encoder


def interrupted(source: Path, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), SegmentStore(folder) as store:
        encoded(source, store=store, listener=Interrupted(140))


def test_segments_of_other_settings_or_pictures_are_refused(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.y4m", scene(0, 200))
    folder = tmp_path / "a.rq.parts"
    interrupted(source, folder)
    other = EncoderOptions(gop=GOP, quality=20)
    with (
        pytest.raises(InputError, match="another options"),
        SegmentStore(folder, resume=True) as store,
    ):
        encoded(source, store=store, options=other)
    write_clip(source, scene(5, 200))
    with (
        pytest.raises(InputError, match="another source"),
        SegmentStore(folder, resume=True) as store,
    ):
        encoded(source, store=store)
    assert len(finished_parts(folder)) == 2


def test_a_damaged_segment_is_made_again(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.y4m", scene(0, 200))
    folder = tmp_path / "a.rq.parts"
    interrupted(source, folder)
    part = finished_parts(folder)[1]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 4
    part.write_bytes(data)
    (folder / "x.half").write_bytes(b"cut")
    counted = CountingFactory()
    with SegmentStore(folder, resume=True) as store:
        assert encoded(source, store=store, factory=counted) == encoded(source)
    assert counted.pictures == 200 - 64


def test_two_runs_to_one_output_do_not_mix(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.y4m", scene(0, 200))
    folder = tmp_path / "a.rq.parts"

    class Another(Heard):
        def frame(self, done: int) -> None:
            if done == 100:
                with (
                    pytest.raises(InputError, match="another run"),
                    SegmentStore(folder, resume=True) as second,
                ):
                    encoded(source, store=second)
                self.frames.append(done)

    heard = Another()
    with SegmentStore(folder) as store:
        assert encoded(source, store=store, listener=heard) == encoded(source)
    assert heard.frames == [100]
