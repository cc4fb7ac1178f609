"""The hostile repositories and hubs, by kind: one case for each way in that was thought of.

``docs/reference/hostile-repositories.md`` shows what each of them gets to hear;
``python scripts/make_hostile_table.py`` writes it.
"""

from __future__ import annotations

import gzip
import re
import struct

from tests.simulators.hostile import (
    FIRST,
    INDEX,
    REPO,
    SECOND,
    SHARD,
    Case,
    as_json,
    body,
    config,
    cut_short,
    flipped,
    header,
    honest,
    in_entry,
    in_tree,
    late_nan,
    moved,
    named,
    number,
    on,
    only,
    other_etag,
    page,
    sharded,
    tensor,
    two,
    weights,
)
from tests.simulators.hub import Answer

REVISION = f"/api/models/{REPO}/revision/"
NAMES = [
    Case("a path with ..", ("../evil.json", "relative path"), named("../evil.json")),
    Case("a path with .. inside", ("a/../../evil.json", "relative path"), named("a/../../evil.json")),
    Case("an absolute path", ("/etc/cron.json", "absolute"), named("/etc/cron.json")),
    Case("a path with an empty part", ("a//b.json", "relative path"), named("a//b.json")),
    Case("an empty path", ("''", "relative path"), named("")),
    Case("a backslash", ("backslash",), named("..\\evil.json")),
    Case("a line break in a name", ("not shown",), named("a\nb.json")),
    Case("an escape code in a name", ("not shown", "\\x1b"), named("\x1b[2Ja.json")),
    Case("a name that runs right to left", ("not shown", "\\u202e"), named("a\u202enosj.py.json")),
    Case("a name that is not UTF-8", ("UTF-8",), named("a\udcff.json")),
    Case("a name of 300 bytes", ("255 bytes",), named("a" * 295 + ".json")),
    Case("names that differ by case", ("collide", "Config.json"), named("Config.json")),
    Case("names that differ by case, one not taken", ("collide", "CONFIG.JSON"), named("CONFIG.JSON")),
    Case("names that differ by Unicode form", ("collide",), {"\u00e9.json": b"{}", "e\u0301.json": b"{}"}),
    Case("a full-width twin", ("collide",), named("\uff43onfig.json")),
    Case("a file that is a folder too", ("file and a folder",), named("config.json/x.json")),
    Case("a file listed twice", ("config.json twice",), lie=in_tree(lambda tree: [*tree, tree[0]])),
    Case("config.json as a symbolic link", ("config.json",), lie=in_entry("config.json", type="symlink")),
]
FORMATS = [
    Case("only a pickle: pytorch_model.bin", ("no safetensors", "pickle"), only("pytorch_model.bin")),
    Case("only a pickle: model.pt", ("no safetensors", "pickle"), only("model.pt")),
    Case("only a pickle: weights.CKPT", ("no safetensors", "pickle"), only("weights.CKPT")),
    Case("only GGUF", ("no safetensors", "another format"), only("model.gguf")),
    Case("weights in a subfolder", ("no safetensors", "subfolder"), only("deep/model.safetensors")),
    Case("only an adapter", ("no safetensors", "adapter"), only("adapter_model.safetensors")),
    Case("no config.json", ("no config.json",), {"config.json": None}),
    Case("a pickle called safetensors", ("safetensors file", "header"), weights(b"\x80\x04\x95" + bytes(90))),
    Case("a zip called safetensors", ("safetensors file", "header"), weights(b"PK\x03\x04" + b"zip!" * 20)),
]
CODE = [
    Case("auto_map", ("Python code", "auto_map"), config(auto_map={"AutoModel": "evil.Model"})),
    Case(
        "auto_map that names another repository",
        ("Python code", "vision_config.auto_map"),
        config(vision_config={"auto_map": {"AutoConfig": "evil/code--a.B"}}),
    ),
    Case(
        "auto_map of the tokenizer",
        ("Python code", "tokenizer_config.json"),
        {"tokenizer_config.json": as_json({"auto_map": {"AutoTokenizer": ["evil.T", None]}})},
    ),
    Case(
        "auto_map of a processor, in a list",
        ("Python code", "processors.0.auto_map"),
        {"preprocessor_config.json": as_json({"processors": [{"auto_map": {"AutoProcessor": "evil.P"}}]})},
    ),
    Case(
        "auto_map in a file of another name",
        ("Python code", "video.json"),
        {"video.json": as_json({"auto_map": {"AutoVideoProcessor": "evil.V"}})},
    ),
    Case(
        "custom_pipelines",
        ("Python code", "custom_pipelines"),
        config(custom_pipelines={"x": {"impl": "e.P"}}),
    ),
    Case("trust_remote_code", ("Python code", "trust_remote_code"), config(trust_remote_code=True)),
    Case(
        "an attention kernel off a hub",
        ("Python code", "evil/kernel"),
        config(attn_implementation="evil/kernel"),
    ),
    Case(
        "auto_map hidden by a second one",
        ("auto_map", "twice"),
        {"config.json": b'{"auto_map": {"AutoModel": "evil.M"}, "auto_map": {}}'},
    ),
    Case("config.json in UTF-16", ("UTF-8",), {"config.json": '{"auto_map": 1}'.encode("utf-16")}),
]
TEXT = [
    Case("a broken config.json", ("not readable as JSON",), {"config.json": b'{"model_type": '}),
    Case("a page for a config.json", ("not readable as JSON",), {"config.json": b"<html>"}),
    Case("an empty config.json", ("not readable as JSON",), {"config.json": b""}),
    Case("a config.json that is a list", ("not a JSON object",), {"config.json": b"[]"}),
    Case("NaN in config.json", ("NaN",), {"config.json": b'{"rms_norm_eps": NaN}'}),
    Case("100 levels of lists", ("64 levels",), {"config.json": b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"}),
    Case("100000 levels of lists", ("64 levels",), {"config.json": b"[" * 100_000}),
    Case("a config.json of 17 MiB", ("17.8 MB", "16.8 MB"), {"config.json": b"{" + b" " * (17 << 20) + b"}"}),
    Case("a broken tokenizer.json", ("tokenizer.json", "JSON"), {"tokenizer.json": b"\x80\x04."}),
    Case("a tokenizer.json that is a list", ("tokenizer.json", "object"), {"tokenizer.json": b"[]"}),
]
HEADERS = [
    Case("an empty shard", ("0 bytes",), weights(b"")),
    Case("a shard of 4 bytes", ("4 bytes",), weights(b"\x01\0\0\0")),
    Case("a header of 2^63 bytes", ("at most 100000000",), header({}, length=2**63)),
    Case("a header longer than the file", ("and the file has",), header({}, length=5000)),
    Case("a header that is no JSON", ("brace",), header(b"\x80\x04\x95.")),
    Case("a header that is half of JSON", ("not readable",), header(b'{"a": {')),
    Case("a header that is not UTF-8", ("UTF-8",), header(b'{"\xff": 1}')),
    Case("a header of 2000 levels", ("levels",), header(b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}")),
    Case(
        "a tensor described twice",
        ("given twice",),
        header(
            b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
        ),
    ),
    Case("no tensor at all", ("no tensor",), header({}, data=b"")),
    Case("tensors that overlap", ("overlap",), two((0, 8), (4, 12))),
    Case("a hole between tensors", ("belong to none",), two((0, 7), (8, 16))),
    Case("bytes that belong to no tensor", ("belong to no tensor",), two((0, 4), (4, 8))),
    Case("a tensor beyond the end", ("ends at byte 32 of 16",), tensor(shape=[16], data_offsets=[0, 32])),
    Case("a tensor that ends before it begins", ("said to lie at",), tensor(data_offsets=[16, 0])),
    Case("a tensor at a negative place", ("said to lie at",), tensor(data_offsets=[-16, 0])),
    Case("a tensor with three ends", ("said to lie at",), tensor(data_offsets=[0, 8, 16])),
    Case("a shape that lies", ("16 bytes", "takes 32"), tensor(shape=[16])),
    Case("a type that lies", ("16 bytes", "takes 32"), tensor(dtype="F32")),
    Case("a type that is not known", ("'F12'", "not known"), tensor(dtype="F12")),
    Case("a type that is a list", ("not known",), tensor(dtype=["F16"])),
    Case("a negative length", ("shape",), tensor(shape=[-8])),
    Case("half a length", ("shape",), tensor(shape=[8.5])),
    Case("a length that is true", ("shape",), tensor(shape=[8, True])),
    Case("more elements than 64 bits count", ("64 bits",), tensor(shape=[2**40, 2**40, 0])),
    Case("a number of 5000 digits", ("5000 digits",), header(b'{"a": ' + b"9" * 5000 + b"}")),
    Case("a key that no reader knows", ("described by",), tensor(then="more")),
    Case("metadata that is no text", ("__metadata__",), header({"__metadata__": {"a": [1]}}, data=b"")),
    Case(
        "a tensor with an escape code for a name",
        ("printed",),
        header({"\x1b[2J": {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]}}),
    ),
]
NUMBERS = [
    Case("NaN in F16", ("NaN or infinite",), number("F16", b"\x01\x7c")),
    Case("infinity in F16", ("NaN or infinite",), number("F16", b"\x00\xfc")),
    Case("NaN in BF16", ("NaN or infinite",), number("BF16", b"\xc0\x7f")),
    Case("infinity in F32", ("NaN or infinite",), number("F32", struct.pack("<f", float("inf")))),
    Case("NaN in F64", ("NaN or infinite",), number("F64", struct.pack("<d", float("nan")))),
    Case("NaN in F8_E4M3", ("NaN or infinite",), number("F8_E4M3", b"\xff")),
    Case("infinity in F8_E5M2", ("NaN or infinite",), number("F8_E5M2", b"\x7c")),
    Case("half of a large tensor broken", ("NaN or infinite", " z "), late_nan()),
]
INDEXES = [
    Case(
        "an index that names a shard that is not there",
        ("no shard here",),
        sharded({"a": FIRST, "b": "model-3.safetensors"}),
    ),
    Case(
        "an index that names a file outside", ("no shard here",), sharded({"a": FIRST, "b": f"../{SECOND}"})
    ),
    Case("an index that names another file", ("no shard here",), sharded({"a": FIRST, "b": "config.json"})),
    Case("an index with the wrong shard", ("and it is not",), sharded({"a": SECOND, "b": FIRST})),
    Case(
        "an index with a tensor that is nowhere",
        ("and it is not",),
        sharded({"a": FIRST, "b": SECOND, "c": FIRST}),
    ),
    Case("an index that leaves a shard out", ("names no tensor",), sharded({"a": FIRST})),
    Case(
        "an index that leaves a tensor out",
        ("does not name 'b'",),
        {INDEX: as_json({"weight_map": {"a": SHARD}})},
    ),
    Case("an index without a map", ("weight_map",), sharded([])),
    Case("a tensor in two shards", ("there twice",), sharded({"a": FIRST, "b": SECOND}, second="a")),
    Case(
        "a tensor in two files without an index",
        ("there twice",),
        {"other.safetensors": honest()[SHARD]},
    ),
]
HUBS = [
    Case("other content of the same length", (SHARD, "sha256"), lie=on(f"/{SHARD}", body(flipped))),
    Case("other content of a small file", ("config.json", "git-sha1"), lie=on("/config.json", body(flipped))),
    Case("other content with an ETag that fits it", (SHARD, "sha256"), lie=on(f"/{SHARD}", other_etag)),
    Case("too few bytes", (SHARD,), lie=on(f"/{SHARD}", body(lambda data: data[:-1]))),
    Case("too many bytes", (SHARD,), lie=on(f"/{SHARD}", body(lambda data: data + b"!"))),
    Case("a body that ends half way", ("without sending complete",), lie=on(f"/{SHARD}", cut_short)),
    Case(
        "a gzip bomb for a shard",
        (SHARD,),
        lie=on(f"/{SHARD}", body(lambda _: gzip.compress(bytes(100_000_000), 1), Content_Encoding="gzip")),
    ),
    Case("a page for a shard", (SHARD,), lie=on(f"/{SHARD}", page)),
    Case(
        "another size in the listing",
        (SHARD,),
        lie=in_entry(SHARD, lfs={"oid": "0" * 64, "size": 9, "pointerSize": 1}),
    ),
    Case(
        "another sha256 in the listing",
        (SHARD, "0" * 64),
        lie=in_entry(SHARD, lfs={"oid": "0" * 64, "size": len(honest()[SHARD]), "pointerSize": 134}),
    ),
    Case(
        "another git sha1 in the listing",
        ("config.json", "0" * 40),
        lie=in_entry("config.json", oid="0" * 40),
    ),
    Case("a listing without sizes", ("size",), lie=in_entry("config.json", size=None)),
    Case("a listing with a size below zero", ("the size -1",), lie=in_entry("config.json", size=-1)),
    Case("a listing with a size in words", ("the size 'many'",), lie=in_entry("config.json", size="many")),
    Case("a listing without checksums", ("oid",), lie=in_entry("config.json", oid=None)),
    Case(
        "a listing with a checksum that is none",
        ("is no git-sha1",),
        lie=in_entry("config.json", oid="../.."),
    ),
    Case("a listing that is no list", ("could not be downloaded",), lie=in_tree(lambda _: {"error": "no"})),
    Case("a listing that is a page", ("could not be downloaded",), lie=on("/tree/", page)),
    Case("an empty listing", ("no safetensors",), lie=in_tree(lambda _: [])),
    Case("a revision that is a page", ("could not be downloaded",), lie=on(REVISION, page)),
    Case(
        "a commit that is a branch",
        ("no commit",),
        lie=on(REVISION, lambda _: Answer(200, {}, b'{"id": "acme/tiny", "sha": "main", "siblings": []}')),
    ),
    Case(
        "a commit that it does not have",
        ("no revision",),
        lie=on(REVISION, body(lambda data: re.sub(b"[0-9a-f]{40}", b"a" * 40, data))),
    ),
    Case("a redirect to a file of this machine", ("file",), lie=on(f"/{SHARD}", moved("file:///etc/passwd"))),
    Case(
        "a redirect that goes in circles",
        ("redirect",),
        lie=on(f"/{SHARD}", moved(f"/{REPO}/resolve/main/{SHARD}")),
    ),
]
GROUPS = {
    "Names": NAMES,
    "Formats": FORMATS,
    "Code": CODE,
    "JSON": TEXT,
    "Headers of safetensors": HEADERS,
    "Numbers": NUMBERS,
    "Shards": INDEXES,
    "Hubs that lie": HUBS,
}
CASES = [case for cases in GROUPS.values() for case in cases]
