"""Whole recordings made by Debian's ffmpeg and GStreamer: few encodings, many containers."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 12
_PICTURE = f"testsrc2=size=480x270:rate=25:duration={SECONDS}"
_SLIDES = "testsrc2=size=480x270:rate=1/{pace}:duration={length}"
_TONE = f"sine=frequency=440:sample_rate=48000:duration={SECONDS}"
_X264 = "-c:v libx264 -preset veryfast -b:v 900k -g 50"
_FRAGMENTS = "-movflags frag_keyframe+empty_moov"

# name: arguments of ffmpeg before the output; {other} is another encoding.
_ENCODINGS = {
    "h264": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} {_X264} -c:a aac h264.mp4",
    "vp8": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libvpx -deadline realtime -cpu-used 8 -b:v 900k -g 50 -c:a libopus vp8.webm",
    "vp9": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -b:v 900k -g 50 -c:a libopus vp9.webm",
    "av1": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libsvtav1 -preset 12 -b:v 900k -g 50 -c:a libopus av1.mkv",
    "hevc": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libx265 -preset ultrafast -x265-params log-level=none -b:v 900k -g 50 -tag:v hvc1 -c:a aac hevc.mp4",
    "bframes": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libx264 -preset fast -bf 4 -b_strategy 2 -b:v 900k -g 100 -c:a libmp3lame bframes.mp4",
    "mpeg4": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v mpeg4 -b:v 900k -g 50 -c:a libmp3lame mpeg4.avi",
    "theora": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE} -c:v libtheora -b:v 900k -g 50 -c:a libvorbis theora.ogv",
    "flv": f"-f lavfi -i {_PICTURE} -f lavfi -i sine=sample_rate=44100:duration={SECONDS} -c:v flv -b:v 900k -c:a libmp3lame h263.flv",
    "silence": f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=r=48000:cl=stereo -t {SECONDS} {_X264} -c:a pcm_s16le silent-pcm.mov",
    "silence-cbr": f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=r=48000:cl=stereo -t {SECONDS} {_X264} -c:a libopus -vbr off -b:a 256k silent-opus-cbr.mkv",
    "black": f"-f lavfi -i color=black:size=640x360:rate=25:duration={SECONDS} -f lavfi -i anullsrc=r=44100:cl=stereo -t {SECONDS} {_X264} -c:a aac black.mp4",
    "black-vp9": f"-f lavfi -i color=black:size=640x360:rate=25:duration={SECONDS} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 black-vp9.webm",
    "black-vp8": f"-f lavfi -i color=black:size=640x360:rate=25:duration={SECONDS} -c:v libvpx -deadline realtime -cpu-used 8 black-vp8.webm",
    "black-av1": f"-f lavfi -i color=black:size=640x360:rate=25:duration={SECONDS} -c:v libsvtav1 -preset 12 black-av1.mp4",
    "mute": f"-f lavfi -i {_PICTURE} {_X264} video-only.mp4",
    "dtx": f"-f lavfi -i anullsrc=r=48000:cl=mono -t {SECONDS} -c:a libopus -dtx 1 -application voip -b:a 16k audio-dtx.webm",
    "slides1": f"-f lavfi -i {_SLIDES.format(pace=1, length=12)} -c:v libx264 -preset veryfast slides-1s.mp4",
    "slides5": f"-f lavfi -i {_SLIDES.format(pace=5, length=30)} -c:v libvpx -deadline realtime slides-5s.webm",
    "slides5b": f"-f lavfi -i {_SLIDES.format(pace=5, length=30)} -c:v libx264 -preset veryfast -bf 3 slides-5s-bframes.mkv",
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

_SOURCE = "videotestsrc num-buffers=300 pattern=ball ! video/x-raw,width=480,height=270,framerate=25/1 ! videoconvert"
_SOUND = "audiotestsrc num-buffers=600 samplesperbuffer=960 ! audio/x-raw,rate=48000"
_GSTREAMER = {
    "gst-vp8.webm": f"{_SOURCE} ! vp8enc deadline=1 cpu-used=8 target-bitrate=900000 ! m. {_SOUND} ! opusenc ! m. webmmux name=m",
    "gst-vp8-live.webm": f"{_SOURCE} ! vp8enc deadline=1 cpu-used=8 target-bitrate=900000 ! m. {_SOUND} ! opusenc ! m. webmmux streamable=true name=m",
    "gst-h264.mp4": f"{_SOURCE} ! x264enc bitrate=900 speed-preset=veryfast ! m. {_SOUND} ! avenc_aac ! m. mp4mux name=m",
    "gst-h264-fragmented.mp4": f"{_SOURCE} ! x264enc bitrate=900 speed-preset=veryfast ! m. {_SOUND} ! avenc_aac ! m. mp4mux fragment-duration=1000 name=m",
    "gst-h264.mkv": f"{_SOURCE} ! x264enc bitrate=900 speed-preset=veryfast ! h264parse ! m. {_SOUND} ! vorbisenc ! m. matroskamux name=m",
    "gst-h264.mov": f"{_SOURCE} ! x264enc bitrate=900 speed-preset=veryfast ! m. {_SOUND} ! avenc_aac ! m. qtmux name=m",
    "gst-theora.ogv": f"{_SOURCE} ! theoraenc bitrate=900 ! m. {_SOUND} ! vorbisenc ! m. oggmux name=m",
    "gst-mjpeg.avi": f"{_SOURCE} ! jpegenc quality=50 ! m. {_SOUND} ! m. avimux name=m",
    "gst-audio.opus": f"{_SOUND} ! opusenc ! oggmux",
    "gst-audio-dtx.webm": f"audiotestsrc wave=silence num-buffers=600 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! opusenc dtx=true audio-type=voice ! webmmux",
}


def missing_tools() -> list[str]:
    return [tool for tool in ("ffmpeg", "gst-launch-1.0") if shutil.which(tool) is None]


def _ffmpeg(arguments: str, folder: Path) -> None:
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
        list(pool.map(lambda line: _ffmpeg(line, folder), _ENCODINGS.values()))
        list(pool.map(lambda line: _ffmpeg(line, folder), _REMUXES + _PIPED + _REFUSED_KINDS))
        list(pool.map(lambda item: _gstreamer(*item, folder), _GSTREAMER.items()))
