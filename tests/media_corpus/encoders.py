"""Whole recordings made by Debian's ffmpeg and GStreamer: few encodings, many containers."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 8
_PICTURE = f"testsrc2=size=480x270:rate=25:duration={SECONDS}"
_TONE = f"sine=frequency=440:sample_rate=48000:duration={SECONDS}"
_BOTH = f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE}"
_SILENT = f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=r=48000:cl=stereo -t {SECONDS}"
_BLACK = f"-f lavfi -i color=black:size=640x360:rate=25:duration={SECONDS}"
_RATE = "-b:v 900k -g 50"
_X264 = f"-c:v libx264 -preset veryfast {_RATE}"
_X265 = f"-c:v libx265 -preset ultrafast -x265-params log-level=none {_RATE} -tag:v hvc1"
_VP8 = "-c:v libvpx -deadline realtime -cpu-used 8"
_VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"
_AV1 = "-c:v libsvtav1 -preset 12"
_FRAGMENTS = "-movflags frag_keyframe+empty_moov"


def _slides(pace: int, length: int) -> str:
    return f"testsrc2=size=480x270:rate=1/{pace}:duration={length}"


# Arguments of ffmpeg; the last one is the file.
_ENCODINGS = {
    "h264": f"{_BOTH} {_X264} -c:a aac h264.mp4",
    "vp8": f"{_BOTH} {_VP8} {_RATE} -c:a libopus vp8.webm",
    "vp9": f"{_BOTH} {_VP9} {_RATE} -c:a libopus vp9.webm",
    "av1": f"{_BOTH} {_AV1} {_RATE} -c:a libopus av1.mkv",
    "hevc": f"{_BOTH} {_X265} -c:a aac hevc.mp4",
    "bframes": f"{_BOTH} -c:v libx264 -preset fast -bf 4 -b_strategy 2 -b:v 900k -g 100 -c:a libmp3lame bframes.mp4",
    "mpeg4": f"{_BOTH} -c:v mpeg4 {_RATE} -c:a libmp3lame mpeg4.avi",
    "theora": f"{_BOTH} -c:v libtheora {_RATE} -c:a libvorbis theora.ogv",
    "flv": f"{_BOTH} -ar 44100 -c:v flv -b:v 900k -c:a libmp3lame h263.flv",
    "silence": f"{_SILENT} {_X264} -c:a pcm_s16le silent-pcm.mov",
    "silence-cbr": f"{_SILENT} {_X264} -c:a libopus -vbr off -b:a 256k silent-opus-cbr.mkv",
    "black": f"{_BLACK} -f lavfi -i anullsrc=r=44100 -t {SECONDS} {_X264} -c:a aac black.mp4",
    "black-vp9": f"{_BLACK} {_VP9} black-vp9.webm",
    "black-vp8": f"{_BLACK} {_VP8} black-vp8.webm",
    "black-av1": f"{_BLACK} {_AV1} black-av1.mp4",
    "mute": f"-f lavfi -i {_PICTURE} {_X264} video-only.mp4",
    "dtx": f"-f lavfi -i anullsrc=r=48000 -t {SECONDS} -c:a libopus -dtx 1 -application voip audio-dtx.webm",
    "slides1": f"-f lavfi -i {_slides(1, 12)} -c:v libx264 -preset veryfast slides-1s.mp4",
    "slides5": f"-f lavfi -i {_slides(5, 30)} -c:v libvpx -deadline realtime slides-5s.webm",
    "slides5b": f"-f lavfi -i {_slides(5, 30)} -c:v libx264 -preset veryfast -bf 3 slides-5s-bframes.mkv",
    "aac": f"-f lavfi -i {_TONE} -c:a aac audio.m4a",
    "opus": f"-f lavfi -i {_TONE} -c:a libopus audio.opus",
    "vorbis": f"-f lavfi -i {_TONE} -c:a libvorbis audio.oga",
    "flac": f"-f lavfi -i {_TONE} -c:a flac audio-flac.mka.mkv",
    "wav": f"-f lavfi -i {_TONE} -c:a pcm_s16le audio.wav",
    "webm-audio": f"-f lavfi -i {_TONE} -c:a libopus audio-ffmpeg.webm",
    "mp3cbr": f"-f lavfi -i anullsrc=r=44100:cl=stereo -t {SECONDS} -c:a libmp3lame -b:a 320k silent-mp3.mkv",
}

_REMUXES = [
    "-i h264.mp4 -c copy -movflags +faststart h264-faststart.mp4",
    "-i h264.mp4 -c copy h264.mov",
    "-i h264.mp4 -c copy h264.m4v",
    "-i h264.mp4 -c copy h264.3gp",
    "-i h264.mp4 -c copy h264.mkv",
    "-i h264.mp4 -c copy h264.flv",
    f"-i h264.mp4 -c copy {_FRAGMENTS} h264-fragmented.mp4",
    "-i h264.mp4 -c copy -movflags frag_keyframe h264-first-fragment-in-moov.mp4",
    f"-i h264.mp4 -c copy {_FRAGMENTS}+default_base_moof+skip_trailer h264-fragmented-cmaf.mp4",
    "-i h264.mp4 -c copy -movflags +faststart+frag_every_frame+empty_moov h264-fragment-each-frame.mp4",
    f"-i h264.mp4 -c copy {_FRAGMENTS}+separate_moof h264-separate-moof.mp4",
    "-i h264.mp4 -c copy -movflags dash+global_sidx h264-dash.mp4",
    "-i vp9.webm -c copy vp9.mp4",
    f"-i vp9.webm -c copy {_FRAGMENTS}+skip_trailer vp9-fragmented.mp4",
    f"-i av1.mkv -c copy {_FRAGMENTS} av1-fragmented.mp4",
    "-i av1.mkv -c copy av1.mp4",
    "-i av1.mkv -c copy av1.webm",
    "-i vp8.webm -c copy vp8.mkv",
    "-i vp8.webm -c copy -live 1 vp8-live.webm",
    "-i vp9.webm -c copy -cluster_time_limit 300 vp9-small-clusters.webm",
    "-i vp9.webm -c copy -cues_to_front 1 -reserve_index_space 4000 vp9-cues-first.webm",
    "-i hevc.mp4 -c copy hevc.mkv",
    f"-i hevc.mp4 -c copy {_FRAGMENTS} hevc-fragmented.mp4",
    "-i bframes.mp4 -c copy bframes.mkv",
    f"-i bframes.mp4 -c copy {_FRAGMENTS} bframes-fragmented.mp4",
    "-i bframes.mp4 -c copy bframes.avi",
    "-i silent-pcm.mov -c copy -f mov -movflags +faststart silent-pcm-faststart.mov",
    "-i silent-pcm.mov -c copy silent-pcm.mkv",
    "-i silent-pcm.mov -c copy silent-pcm.avi",
    "-i audio.wav -c copy audio-pcm.mov",
    # Not from 0: a recorder that was started late, a trimmed one with its edit list, an audio that begins later.
    "-i vp9.webm -c copy -output_ts_offset 40 starts-at-40.webm",
    f"-i h264.mp4 -c copy -output_ts_offset 40 {_FRAGMENTS} starts-at-40-fragmented.mp4",
    "-i h264.mp4 -c copy -output_ts_offset 5 starts-at-5.mp4",
    "-ss 3.1 -i h264.mp4 -c copy trimmed-with-edit-list.mp4",
    "-ss 3.1 -i bframes.mp4 -c copy trimmed-bframes.mov",
    "-i h264.mp4 -itsoffset 2.5 -i audio.m4a -map 0:v -map 1:a -c copy late-audio.mp4",
    "-itsoffset 2.5 -i vp9.webm -i audio.opus -map 0:v -map 1:a -c copy late-video.webm",
    # Two participants in turn: the second one's tracks begin where the first one's end.
    f"-i vp8.webm -itsoffset {SECONDS} -i vp9.webm -map 0 -map 1 -c copy two-in-turn.webm",
    f"-i h264.mp4 -itsoffset {SECONDS} -i bframes.mp4 -map 0 -map 1 -c copy two-in-turn.mp4",
    f"-i h264.mp4 -itsoffset {SECONDS} -i vp9.webm -map 0 -map 1 -c copy {_FRAGMENTS} two-in-turn-fragmented.mp4",
    "-i h264.mp4 -i vp9.webm -map 0 -map 1 -c copy two-at-once.mkv",
    f"-i slides-1s.mp4 -c copy {_FRAGMENTS} slides-1s-fragmented.mp4",
    "-i slides-1s.mp4 -c copy slides-1s.mkv",
    "-i slides-5s.webm -i audio.opus -map 0 -map 1 -c copy slides-5s-audio.webm",
    "-i slides-5s-bframes.mkv -c copy slides-5s-bframes.mp4",
]

_PIPED = [
    "-i h264.mp4 -t 3600 -c copy -f matroska - > header-says-an-hour.mkv",
    "-i vp8.webm -c copy -f webm - > piped.webm",
    "-i vp9.webm -c copy -f matroska - > piped.mkv",
    f"-i vp9.webm -c copy {_FRAGMENTS} -f mp4 - > piped.mp4",
]

_REFUSED_KINDS = [
    "-i h264.mp4 -c copy h264.ts",
    "-i mpeg4.avi -c:v wmv2 -c:a wmav2 wmv.wmv",
]
"""Containers that can be copied, and not be checked."""

_SOURCE = "videotestsrc num-buffers=200 pattern=ball ! video/x-raw,width=480,height=270,framerate=25/1 ! videoconvert"
_SOUND = "audiotestsrc num-buffers=400 samplesperbuffer=960 ! audio/x-raw,rate=48000"
_GST_VP8 = f"{_SOURCE} ! vp8enc deadline=1 cpu-used=8 target-bitrate=900000 ! m. {_SOUND} ! opusenc ! m."
_GST_X264 = f"{_SOURCE} ! x264enc bitrate=900 speed-preset=veryfast"
_GST_H264 = f"{_GST_X264} ! m. {_SOUND} ! avenc_aac ! m."
_QUIET = _SOUND.replace("audiotestsrc", "audiotestsrc wave=silence")
_GSTREAMER = {
    "gst-vp8.webm": f"{_GST_VP8} webmmux name=m",
    "gst-vp8-live.webm": f"{_GST_VP8} webmmux streamable=true name=m",
    "gst-h264.mp4": f"{_GST_H264} mp4mux name=m",
    "gst-h264-fragmented.mp4": f"{_GST_H264} mp4mux fragment-duration=1000 name=m",
    "gst-h264.mkv": f"{_GST_X264} ! h264parse ! m. {_SOUND} ! vorbisenc ! m. matroskamux name=m",
    "gst-h264.mov": f"{_GST_H264} qtmux name=m",
    "gst-theora.ogv": f"{_SOURCE} ! theoraenc bitrate=900 ! m. {_SOUND} ! vorbisenc ! m. oggmux name=m",
    "gst-mjpeg.avi": f"{_SOURCE} ! jpegenc quality=50 ! m. {_SOUND} ! m. avimux name=m",
    "gst-audio.opus": f"{_SOUND} ! opusenc ! oggmux",
    "gst-audio-dtx.webm": f"{_QUIET} ! opusenc dtx=true audio-type=voice ! webmmux",
}


def missing_tools() -> list[str]:
    return [tool for tool in ("ffmpeg", "gst-launch-1.0") if shutil.which(tool) is None]


def run_ffmpeg(arguments: str, folder: Path) -> None:
    """
    Make one file.

    :param arguments: ffmpeg's, the last one is the file; or those of ``... > file``, which is written through a pipe.
    :param folder: where.
    """
    command, _, piped = arguments.partition(" > ")
    line = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "1", *command.split()]
    if not piped:
        subprocess.run(line, cwd=folder, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return
    with (folder / piped).open("wb") as out:
        producer = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert producer.stdout
        shutil.copyfileobj(producer.stdout, out)  # through a pipe: ffmpeg cannot go back and write the header again
        assert producer.wait() == 0, command


def _gstreamer(name: str, pipeline: str, folder: Path) -> None:
    elements = f"{pipeline} ! filesink location={name}".split()
    subprocess.run(
        ["gst-launch-1.0", "-q", *elements], cwd=folder, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def make(folder: Path) -> None:
    """
    Make every file.

    :param folder: gets them.
    """
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda line: run_ffmpeg(line, folder), _ENCODINGS.values()))
        list(pool.map(lambda line: run_ffmpeg(line, folder), _REMUXES + _PIPED + _REFUSED_KINDS))
        list(pool.map(lambda item: _gstreamer(*item, folder), _GSTREAMER.items()))
