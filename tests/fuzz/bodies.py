"""Bodies that no server should send: real answers, damaged as JSON values and as bytes. Seeded, and fast."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VIDEO = {
    "meetingVideoId": "4c512b8a-c1ad-47da-ae22-5a61115505e3",
    "meetingVideoSharedId": None,
    "meetingId": "0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
    "timeCreated": "2019-08-20T18:57:33.541Z",
    "timeRetention": "2099-08-20T18:57:33.5412345Z",
    "timeDeleted": "2019-08-20T18:58:02.2596573Z",
    "duration": "PT5M12.3S",
    "size": 484524,
    "state": "archived",
    "url": "https://storage.example.com/video/4c512b8a?access=abcdefghijklmnop",
    "timeUrlExpires": "2019-08-21T18:57:33.541Z",
}
PACKAGE_ID = "c603079c-2dc7-4af7-8c2e-dc992662621c"
FOLDER = f"file:///data/{PACKAGE_ID}"
SHORT = {
    "package_id": PACKAGE_ID,
    "meeting_video_id": VIDEO["meetingVideoId"],
    "uri": f"{FOLDER}/{VIDEO['meetingVideoId']}.mp4",
    "size": 484524,
    "sha256": "0" * 64,
    "custody_uri": f"{FOLDER}/{VIDEO['meetingVideoId']}.custody.json",
}
RECORD = {**SHORT, "format": 1, "api_base": "https://sign.syngrafii.com/api/v1", "video": VIDEO, "validator": None}
SEEDS: tuple[Any, ...] = (
    {"packageId": PACKAGE_ID, "videos": [VIDEO, {**VIDEO, "meetingVideoId": "other", "state": "started"}]},
    {"packageId": PACKAGE_ID, "videos": []},
    {"total": 2, "items": [{"packageId": PACKAGE_ID, "name": "Closing", "state": "open", "timeRetention": None}]},
    {"error": "package_not_found", "message": "The package was not found."},
    {"status": "ready", "answer": {"packageId": PACKAGE_ID, "videos": [VIDEO]}},
    {"status": "timeout", "message": "late"},
    {"status": "error", "type": "NotFoundError", "message": "gone", "retry_after": 3.0},
    [SHORT, [{**SHORT, "meeting_video_id": "other"}]],
    RECORD,
)
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, -(2**70), 10**400, 1e308, -0.0, float("inf"), float("nan"), 0.1),
    *(
        "",
        " ",
        "\0",
        "None",
        "null",
        "../../etc/passwd",
        "a/b",
        "a\nb",
        "*",
        "'",
        "%s%n",
        "\ud800",
        "é" * 50,
        "x" * 9000,
    ),
    *(
        "2019-13-45T99:99:99Z",
        "9999-12-31T23:59:59.9999999Z",
        "0000-00-00",
        "2019-W54-9",
        "2019-366",
        "T",
        "now",
        "1e9",
    ),
    *(
        "P",
        "PT",
        "P1Y2M",
        "P99999999999999D",
        "-PT5S",
        "PT1E400S",
        "PT٣S",
        "P1W",
        "PT1.5.5S",
        "R5/P1D",
        "PT" + "9" * 400 + "S",
    ),
    *("http://[", "https://user:pw@h/?q=1", "file://", "::1", "IinkedSignError", "Exception", "os", "archived"),
    *([], {}, [[]], [[[[[]]]]], {"": {}}, [None], {"meetingVideoId": None}),
)
DIGITS = b'"size": ' + b"9" * 5000


class Fuzzer:
    """Gives one damaged value or body after the other."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)

    def value(self, seed: Any = None) -> Any:
        """A JSON value, damaged in up to three places; mostly of the form that is expected."""
        expected = seed is not None and self.rng.random() < 0.9
        value = copy.deepcopy(seed if expected else self.rng.choice(SEEDS))
        for _ in range(self.rng.randint(0, 3)):
            value = self._damage(value)
        return value

    def _damage(self, value: Any) -> Any:
        places: list[tuple[Any, Any]] = []
        _collect(value, places)
        if not places or self.rng.random() < 0.02:
            return copy.deepcopy(self.rng.choice(STRANGE))
        container, key = self.rng.choice(places)
        act = self.rng.random()
        if act < 0.15:
            del container[key]
        elif act < 0.25 and isinstance(container, dict):
            container[self.rng.choice(["videos", "meetingVideoId", "state", "format", "uri", "error"])] = container[key]
        elif act < 0.35 and isinstance(container, list):
            container.extend(copy.deepcopy(container[:20]))
        elif act < 0.5 and isinstance(container[key], str):
            container[key] = self._bend(container[key])
        elif act < 0.6:
            other, name = self.rng.choice(places)
            container[key] = copy.deepcopy(other[name])
        else:
            container[key] = copy.deepcopy(self.rng.choice(STRANGE))
        return value

    def _bend(self, text: str) -> str:
        position = self.rng.randint(0, len(text))
        piece = self.rng.choice(["", "/", ".", "..", "\n", "\u202e", "0" * 30, "T", "Z", "+99:99", "%2e", text])
        return text[:position] + piece + text[position + self.rng.randint(0, 3) :]

    def body(self, seed: Any = None) -> bytes:
        """The bytes of a damaged value, often damaged again."""
        # json.dumps writes NaN and Infinity, as careless servers do.
        data = bytearray(
            json.dumps(self.value(seed), ensure_ascii=self.rng.random() < 0.8).encode("utf-8", "surrogatepass")
        )
        for _ in range(self.rng.choice([0, 0, 0, 0, 0, 1, 1, 2, 5])):
            self._damage_bytes(data)
        return bytes(data)

    def _damage_bytes(self, data: bytearray) -> None:
        position = self.rng.randint(0, len(data))
        act = self.rng.randint(0, 7)
        if act == 0:
            del data[position:]
        elif act == 1 and data:
            data[position % len(data)] = self.rng.randrange(256)
        elif act == 2:
            data[position:position] = self.rng.randbytes(self.rng.randint(1, 8))
        elif act == 3:
            data[position:position] = self.rng.choice(
                [b"[" * 3000, b'{"a":' * 3000, DIGITS, b"\xef\xbb\xbf", b"\0" * 50]
            )
        elif act == 4:
            data[:0] = self.rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b")]}',\n", b"<html>", b" " * 100])
        elif act == 5:
            data += self.rng.choice([b"}", b"]", b"null", bytes(data)])
        elif act == 6:
            del data[position : position + self.rng.randint(1, 20)]
        else:
            data[position:position] = self.rng.choice([b'"', b",", b":", b"\\u", b"\\ud800", b"1e999", b"-"])

    def headers(self) -> dict[str, str]:
        """Headers of an answer, names in lower case."""
        names = (
            "retry-after",
            "date",
            "content-length",
            "content-range",
            "content-type",
            "content-encoding",
            "location",
        )
        chosen = self.rng.sample((*names, "etag", "last-modified", "transfer-encoding"), self.rng.randint(0, 6))
        return {name: self._header() for name in chosen}

    def _header(self) -> str:
        text = self.rng.choice(
            [
                *(
                    "",
                    "0",
                    "5",
                    "-1",
                    "1e9",
                    "9" * 5000,
                    "Tue, 24 Nov 2026 19:56:03 GMT",
                    "Tue, 99 Foo 99999 99:99:99 GMT",
                ),
                *(
                    "bytes 0-99/100",
                    "bytes 5-9/*",
                    "bytes */100",
                    "bytes 9-1/0",
                    "items 0-1/2",
                    "video/mp4",
                    "text/html",
                ),
                *(
                    '"abc"',
                    'W/"abc"',
                    '"',
                    "gzip",
                    "identity",
                    "https://elsewhere.example.com/x",
                    "http://[",
                    "//",
                    "\xff\xfe",
                ),
                "Tue, 24 Nov 0000 00:00:00 -9999",
            ]
        )
        return self._bend(text) if self.rng.random() < 0.3 else text


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        places.append((value, key))
        _collect(inner, places)
