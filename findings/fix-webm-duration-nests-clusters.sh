#!/usr/bin/env bash
# One would expect: the usual repair for browser recordings writes the missing Duration and leaves the structure alone.
# What happens: browsers write each Cluster with unknown size, which ends where the next one begins. The repair reads
#   the first Cluster to the end of the file and gives it that size, so all later Clusters lie inside the first one,
#   where the format has no place for them. ffmpeg 9.0.2 goes by the Cluster's id and plays on, with a line in its log.
# Versions: fix-webm-duration 1.0.6. Needs Node.js 18 or newer and npm.
# Why it matters: a check that walks the file by its sizes refuses whole recordings, or counts one Cluster of many.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund fix-webm-duration@1.0.6

cat >finding.js <<'JAVASCRIPT'
const UNKNOWN = Buffer.from("01ffffffffffffff", "hex");
const CLUSTER = Buffer.from("1f43b675", "hex");
const SILENCE = Buffer.from("f8fffe", "hex"); // one Opus packet of 20 ms

// The two browser names that the package uses and Node.js lacks.
globalThis.window = globalThis;
globalThis.FileReader = class {
  readAsArrayBuffer(blob) {
    blob.arrayBuffer().then((bytes) => { this.result = bytes; this.onloadend(); });
  }
};
const fixDuration = require("fix-webm-duration");

function element(id, ...parts) {
  const body = Buffer.concat(parts);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(body.length) | (1n << 56n));
  return Buffer.concat([Buffer.from(id, "hex"), size, body]);
}
function uint(id, value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return element(id, bytes);
}
const text = (id, value) => element(id, Buffer.from(value));

function cluster(start) {
  const blocks = Array.from({ length: 50 }, (_, index) => {
    const head = Buffer.from([0x81, 0, 0, 0x80]);
    head.writeInt16BE(index * 20, 1);
    return element("a3", head, SILENCE);
  });
  return Buffer.concat([CLUSTER, UNKNOWN, uint("e7", start), ...blocks]);
}

// Three seconds of Opus silence, laid out as a browser's MediaRecorder does: Segment and Clusters of unknown size.
function browserRecording() {
  const rate = Buffer.alloc(4);
  rate.writeFloatBE(48000);
  const opusHead = Buffer.concat([Buffer.from("OpusHead"), Buffer.from([1, 1, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0])]);
  const track = element("ae", uint("d7", 1), uint("73c5", 1), uint("83", 2), text("86", "A_OPUS"),
    element("63a2", opusHead), element("e1", element("b5", rate), uint("9f", 1)));
  return Buffer.concat([
    element("1a45dfa3", uint("4286", 1), uint("42f7", 1), uint("42f2", 4), uint("42f3", 8), text("4282", "webm"),
      uint("4287", 4), uint("4285", 2)),
    Buffer.from("18538067", "hex"), UNKNOWN,
    element("1549a966", uint("2ad7b1", 1000000), text("4d80", "test"), text("5741", "test")),
    element("1654ae6b", track), cluster(0), cluster(1000), cluster(2000),
  ]);
}

// Position of each Cluster and where its size says that it ends (null: unknown).
function clusters(file) {
  const found = [];
  for (let at = file.indexOf(CLUSTER); at >= 0; at = file.indexOf(CLUSTER, at + 1)) {
    const first = file[at + 4];
    const width = Math.clz32(first) - 23;
    let size = BigInt(first & (0xff >> width));
    for (let index = 1; index < width; index += 1) size = (size << 8n) | BigInt(file[at + 4 + index]);
    const unknown = size === (1n << BigInt(7 * width)) - 1n;
    found.push({ at, end: unknown ? null : at + 4 + width + Number(size) });
  }
  return found;
}

function show(what, file) {
  console.log(`${what}: ${file.length} bytes`);
  for (const { at, end } of clusters(file)) {
    console.log(`  Cluster at ${at}, ${end === null ? "size unknown" : `ends at ${end}`}`);
  }
}

const recording = browserRecording();
fixDuration(new Blob([recording], { type: "video/webm" }), 3000, { logger: false }).then(async (blob) => {
  const fixed = Buffer.from(await blob.arrayBuffer());
  show("browser", recording);
  show("repaired", fixed);
  const found = clusters(fixed);
  const nested = found.length === 3 && found[0].end === fixed.length && found[1].end === null && found[2].end === null;
  if (!nested) {
    console.log("changed: the first of three Clusters ended with the file before, the others had unknown sizes");
    process.exit(1);
  }
  console.log("the first Cluster holds the other two");
});
JAVASCRIPT
node finding.js
