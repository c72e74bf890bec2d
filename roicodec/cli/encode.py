"""``roicodec encode``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from roicodec.cli.files import (
    check_stream_name,
    check_target,
    refuse_stream,
)
from roicodec.cli.options import (
    BIT_RATE,
    FILE,
    ZONE,
    common,
    given_threads,
    jobs_option,
    roi_options,
)
from roicodec.cli.source_options import SourceChoice, source_options
from roicodec.encoder.effort import DEFAULT_EFFORT, PRESETS
from roicodec.encoder.gop import STRUCTURES
from roicodec.encoder.tune import MAX_TREE, TREE, TUNES
from roicodec.factory import CodecFactory

if TYPE_CHECKING:
    from roicodec.encoder.zones import Zone

__all__ = ["encode"]

_DEFAULT_QUALITY = 40


@click.command(
    epilog="""\b
Examples:
  roicodec encode talk.mp4 talk.rq
  roicodec encode -q 45 --roi 320,80,200,260 match.mkv match.rq
  roicodec encode --roi auto --roi-share 0.3 match.mkv match.rq
  roicodec encode --start 1:30 --duration 10 --scale 720p film.mkv part.rq
  roicodec encode --roi none --frames 0:100 clip.y4m clip.rq
  roicodec encode --bitrate 800k cam.mkv cam.rq
  roicodec encode --out-dir streams films/ talk.mp4
  ffmpeg -i cam.ts -f nut - | roicodec encode - - > cam.rq
"""
)
@click.argument("paths", nargs=-1, required=True, type=FILE, metavar="IN OUT.rq")
@click.option(
    "--out-dir",
    type=FILE,
    metavar="DIR",
    help="Encode any number of videos, and folders of videos, to streams in this folder.",
)
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(0, 63),
    help="Quality index: about 26 dB of luma at 0, 44 dB at 63.  [default: 40]",
)
@click.option(
    "--bitrate",
    type=BIT_RATE,
    help="Instead of -q: mean bits a second of the video, such as 800k or 1.5M.",
)
@click.option(
    "--two-pass",
    is_flag=True,
    help="Meet --bitrate by what a first pass at least effort finds: qualities that hardly change.",
)
@click.option(
    "--target-psnr",
    type=click.FloatRange(20, 60),
    metavar="DB",
    help="Instead of -q: mean PSNR, (6Y+U+V)/8.",
)
@click.option(
    "--target-roi-psnr",
    type=click.FloatRange(20, 60),
    metavar="DB",
    help="Instead of -q: mean PSNR of the ROI, (6Y+U+V)/8.",
)
@click.option(
    "--maxrate",
    type=BIT_RATE,
    help="Most bits a second, beyond which no stretch goes by more than --bufsize.",
)
@click.option(
    "--bufsize",
    type=BIT_RATE,
    metavar="BITS",
    help="Bits of the decoder's buffer for --maxrate, as 1M.  [default: a second of it]",
)
@click.option(
    "--zones",
    type=ZONE,
    multiple=True,
    metavar="START,END,q=N,roi=SPEC",
    help="Another quality (q=50), ROI (roi=none) or strength of it (strength=1.5) from one time to"
    " another: 1:00,1:30,q=50. Give it several times for several zones.",
)
@roi_options
@click.option(
    "--roi-strength",
    type=click.FloatRange(0, 2),
    default=1.0,
    show_default=True,
    help="How far the quality of ROI and rest is apart: 0 not at all, 1 by 17 quality indices from"
    " 8 to 16 bits.",
)
@click.option(
    "--roi-grades",
    is_flag=True,
    help="Take gray masks, delta-QPs and offsets of rectangles as grades: each cell becomes as fine"
    " as it is asked for, not only ROI and rest.",
)
@click.option(
    "--complexity",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Price of arithmetic in the choice of bit-widths: percent of a region's cost that 10^6"
    " BitOPs a pixel are worth. Higher: fewer bits where they help least.",
)
@click.option(
    "--gop",
    type=click.IntRange(1, 65535),
    default=96,
    show_default=True,
    help="Most frames from one intra frame to the next; a new scene begins with one, too.",
)
@click.option(
    "--structure",
    type=click.Choice(STRUCTURES),
    default=STRUCTURES[0],
    show_default=True,
    help="Coding structure: every frame from the one before (for calls and live pictures), or"
    " pyramids of 4, 8 or 16 frames with bidirectional ones, which wait for as many pictures and"
    " need fewer bits where the picture moves slowly. auto tries both and keeps the better.",
)
@click.option(
    "--lookahead",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    help="Most pictures that --structure auto waits for; below 4 it is low delay.",
)
@click.option(
    "--tune",
    type=click.Choice(TUNES),
    default=TUNES[0],
    show_default=True,
    help="psnr: least squared error. ssim: structure as eyes see it, finer where the picture is"
    " even and coarser where it is busy.",
)
@click.option(
    "--tree",
    type=click.FloatRange(0, MAX_TREE),
    default=TREE,
    show_default=True,
    help="How much finer an intra frame is where the frames behind it lean on it, before pyramids;"
    " 0 not at all.",
)
@click.option(
    "--effort",
    type=click.IntRange(1, 9),
    help="Search longer (9) or less (1) for what takes fewest bits; decoding stays as fast."
    f"  [default: {DEFAULT_EFFORT}]",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="An effort by name: " + ", ".join(f"{name} is {n}" for name, n in PRESETS.items()) + ".",
)
@click.option(
    "--strict",
    is_flag=True,
    help="End with an error where the video is damaged or cut, rather than with a warning.",
)
@click.option(
    "--allow-network",
    is_flag=True,
    help="Open addresses (https://..., rtsp://...) and playlists, too.",
)
@source_options
@jobs_option
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Scheduler of a dask.distributed cluster whose workers encode instead of this machine, as"
    " tcp://host:8786.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the finished segments that an interrupted run has left in OUT.rq.parts.",
)
@common
@click.pass_obj
def encode(
    factory: CodecFactory,
    paths: tuple[str, ...],
    out_dir: str | None,
    quality: int | None,
    bitrate: float | None,
    two_pass: bool,
    target_psnr: float | None,
    target_roi_psnr: float | None,
    maxrate: float | None,
    bufsize: float | None,
    zones: tuple[Zone, ...],
    roi: tuple[str, ...],
    roi_share: float | None,
    roi_level: float | None,
    candidates: tuple[int, ...],
    roi_strength: float,
    roi_grades: bool,
    complexity: float,
    gop: int,
    structure: str,
    lookahead: int,
    tune: str,
    tree: float,
    effort: int | None,
    preset: str | None,
    strict: bool,
    allow_network: bool,
    choice: SourceChoice,
    jobs: int | None,
    cluster: str | None,
    resume: bool,
    backend: str,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Encode the video IN to the stream OUT.rq.

    IN is any video that FFmpeg reads, or - for standard input; OUT.rq may be - for standard
    output. Audio and subtitle tracks, time stamps and colour description go along.

    Of a damaged or cut video, all that can be decoded is encoded, with a warning that tells how
    much is missing and where.

    While OUT.rq is made, its finished segments are in the folder OUT.rq.parts; after an
    interruption, --resume goes on from them.

    With --out-dir, all arguments are videos or folders of videos, which are encoded one after
    another to streams of their names. Those whose stream is there, whole and not older, are
    skipped (but with -f); failures do not stop the rest. A table at the end tells all.
    """
    goals = (quality, bitrate, target_psnr, target_roi_psnr)
    if sum(value is not None for value in goals) > 1:
        raise click.UsageError(
            "--quality, --bitrate, --target-psnr and --target-roi-psnr exclude each other"
        )
    if two_pass and (bitrate is None or cluster is not None or "-" in paths[:1]):
        raise click.UsageError("--two-pass is for --bitrate and a file, without --cluster")
    if bufsize is not None and maxrate is None:
        raise click.UsageError("--bufsize is for --maxrate")
    if effort is not None and preset is not None:
        raise click.UsageError("--effort and --preset exclude each other")
    effort = PRESETS[preset] if preset else effort or DEFAULT_EFFORT
    if roi_share is not None and roi_level is not None:
        raise click.UsageError("--roi-share and --roi-level exclude each other")
    if (roi_share is not None or roi_level is not None) and "auto" not in roi:
        name = "--roi-level" if roi_share is None else "--roi-share"
        raise click.UsageError(f"{name} is for --roi auto, which is not among {', '.join(roi)}")
    if jobs is not None and cluster is not None:
        raise click.UsageError("--jobs and --cluster exclude each other")
    if out_dir is None and len(paths) != 2:
        raise click.UsageError("give IN and OUT.rq, or --out-dir and any number of videos")
    if out_dir is None:
        source, target = paths
        refuse_stream(source)
        check_target(target, force, [source, *(spec.removeprefix("file:") for spec in roi)])
        check_stream_name(target, force)
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.cli.encode_file import EncodeSettings, encode_file, print_result
    from roicodec.encoder.options import EncoderOptions

    options = EncoderOptions(
        quality=_DEFAULT_QUALITY if quality is None else quality,
        candidates=candidates,
        gop=gop,
        structure=structure,
        lookahead=lookahead,
        tune=tune,
        tree=tree,
        effort=effort,
        roi_strength=roi_strength,
        roi_grades=roi_grades,
        complexity=complexity,
        bit_rate=bitrate,
        psnr=target_psnr,
        roi_psnr=target_roi_psnr,
        max_rate=maxrate,
        buffer_bits=bufsize,
        zones=zones,
    )
    described = {
        "quality": None if any(goals[1:]) else options.quality,
        "target_bit_rate": bitrate,
        "two_pass": two_pass,
        "target_psnr": target_psnr,
        "target_roi_psnr": target_roi_psnr,
        "max_rate": maxrate,
        "buffer_bits": bufsize,
        "zones": [repr(zone) for zone in zones],
        "roi": list(roi),
        "roi_share": roi_share,
        "roi_level": roi_level,
        "candidates": list(candidates),
        "roi_strength": roi_strength,
        "roi_grades": roi_grades,
        "complexity": complexity,
        "gop": gop,
        "structure": structure,
        "lookahead": lookahead,
        "tune": tune,
        "tree": tree,
        "effort": effort,
        "threads": threads,
    }
    reading = {
        "strict": strict, "allow_network": allow_network, "backend": backend, "threads": threads,
        "jobs": jobs, "worker_threads": given_threads(), "cluster": cluster,
        "two_pass": two_pass,
    }  # fmt: skip
    settings = EncodeSettings(
        options, roi, roi_share, roi_level, choice, reading, force, resume, quiet, described
    )
    if out_dir is not None:
        from roicodec.cli.encode_many import encode_many

        encode_many(paths, out_dir, settings, factory, as_json=as_json)
        return
    print_result(encode_file(source, target, settings, factory), as_json=as_json, quiet=quiet)
