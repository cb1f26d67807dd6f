"""Nothing leaks, and next to no innocent is touched."""

from __future__ import annotations

import json

import pytest

from gittrack.capture import redact
from tests.capture.corpus import (
    INNOCENT_LINES,
    INNOCENT_NAMES,
    INNOCENT_TEXTS,
    SECRET_LINES,
    SECRET_NAMES,
    SECRET_TEXTS,
    drawn,
)


def test_the_corpus_is_large() -> None:
    assert len({text for text, _ in SECRET_TEXTS + SECRET_LINES}) + len(SECRET_NAMES) >= 150
    assert len({*INNOCENT_TEXTS, *INNOCENT_LINES}) >= 120
    assert len({*INNOCENT_TEXTS, *INNOCENT_LINES, *INNOCENT_NAMES}) >= 180


@pytest.mark.parametrize(("text", "secret"), SECRET_TEXTS)
def test_every_known_token_is_taken_out(text: str, secret: str) -> None:
    safe, found = redact.redact_text(text)
    assert secret not in safe
    assert redact.MARK in safe
    assert found
    assert redact.redact_text(safe) == (safe, [])


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_say_so(name: str) -> None:
    assert redact.secret_key(name)
    assert redact.redact_param(name, "hunter" + "22") == (redact.MARK, "its name says so")


@pytest.mark.parametrize(
    ("size", "most_missed"), [(24, 0.06), (32, 0.03), (40, 0.015), (64, 0.005)]
)
def test_words_as_random_as_keys_are_taken_out(size: int, most_missed: float) -> None:
    """In output, in a param, on the command line; what has no shape is found by chance alone."""
    missed = 0
    words = drawn(size, 500)
    for word in words:
        safe = [
            redact.redact_line(text)[0] for text in (f"got {word} back", f"x={word}", f"'{word}'")
        ]
        safe.append(str(redact.redact_param("note", word)[0]))
        safe.append(redact.redact_argv(["train.py", "--note", word])[0][2])
        missed += word in "".join(safe)
    assert missed <= most_missed * len(words)


@pytest.mark.parametrize(("line", "secret"), SECRET_LINES)
def test_lines_that_programs_print(line: str, secret: str) -> None:
    redactor = redact.LineRedactor()
    (safe,), found = redactor.redact([line.encode()])
    assert secret.encode() not in safe
    assert redact.MARK.encode() in safe and found
    assert redactor.redact([safe]) == ([safe], [])


def test_a_private_key_is_hidden_from_first_line_to_last() -> None:
    begin, end = "-----BEGIN EC PRIV" + "ATE KEY-----", "-----END EC PRIV" + "ATE KEY-----"
    rows = [b"before", begin.encode(), b"abc", b"def", end.encode(), b"after"]
    redactor = redact.LineRedactor()
    safe = [redactor.redact([row])[0][0] for row in rows]
    assert safe[0] == b"before" and safe[-1] == b"after"
    assert not any(word in b"".join(safe) for word in (b"abc", b"def"))
    public = [b"-----BEGIN CERTIFICATE-----", b"abc", b"-----END CERTIFICATE-----"]
    assert redactor.redact(public) == (public, [])


def test_at_most_two_in_a_hundred_innocents_are_touched() -> None:
    touched = [text for text in INNOCENT_TEXTS if redact.redact_url(text)[0] != text]
    lines = [*INNOCENT_LINES, *INNOCENT_TEXTS]
    touched += [text for text in lines if redact.redact_line(text)[0] != text]
    touched += [name for name in INNOCENT_NAMES if redact.redact_param(name, "some text")[1]]
    touched += [text for text in INNOCENT_TEXTS if redact.redact_argv(["x", text])[0][1] != text]
    assert touched == []


@pytest.mark.parametrize(
    "value", [512, 0.1, True, None, "", "</s>", "<pad>", "${TOKEN}", "none", "x" * 3]
)
def test_values_that_are_no_secrets_stay_under_any_name(value: object) -> None:
    assert redact.redact_param("token", value) == (value, None)


def test_lists_are_looked_through() -> None:
    token = "gh" + "p_" + "a" * 36
    assert redact.redact_param("args", ["x", token]) == (["x", redact.MARK], "GitHub token")
    # A mapping within a list is recorded as text.
    found = redact.redact_param("dbs", ["{'port': 1, 'password': 'hunter22'}"])
    assert found == (["{'port': 1, 'password': '<redacted>'}"], "password")
    plain = ["{'max_tokens': 512, 'tokenizer': 'gpt2'}"]
    assert redact.redact_param("models", plain) == (plain, None)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["t", "--password", "hunter22"], ["t", "--password", "<redacted>"]),
        (["t", "--api-key=abc123def"], ["t", "--api-key=<redacted>"]),
        (["t", "--apiKey", "abc123def", "-v"], ["t", "--apiKey", "<redacted>", "-v"]),
        (["t", "DB_PASSWORD=abc123def"], ["t", "DB_PASSWORD=<redacted>"]),
        (["t", "--token", "--next"], ["t", "--token", "--next"]),
        (["t", "--max-tokens", "512"], ["t", "--max-tokens", "512"]),
        (["t", "--tokenizer=gpt2"], ["t", "--tokenizer=gpt2"]),
        (["t", "https://a:b12345@h/x"], ["t", "https://a:<redacted>@h/x"]),
        (["t", "https://h/x?token=abc123&n=1"], ["t", "https://h/x?token=<redacted>&n=1"]),
    ],
)
def test_command_lines(argv: list[str], expected: list[str]) -> None:
    safe, found = redact.redact_argv(argv)
    assert safe == expected
    assert bool(found) == (argv != expected)


def test_what_is_allowed_stays() -> None:
    token = "gh" + "p_" + "a" * 36
    assert redact.redact_text(token, ["ghp_a+"]) == (token, [])
    assert redact.redact_text(token, ["ghp_"])[1] == ["GitHub token"]
    assert redact.redact_param("password", "public", ["public"]) == ("public", None)


@pytest.mark.parametrize(
    "path",
    [".env", "a/.env.local", "prod.env", "key.pem", "id_rsa", ".netrc", "x/credentials.json",
     "secrets.yaml", "sub/.dvc/config.local", ".aws/credentials"],
)  # fmt: skip
def test_files_that_are_withheld_by_name(path: str) -> None:
    assert redact.file_reason(path, b"A=1\n")


@pytest.mark.parametrize(
    "path", [".env.example", "env.py", "environment.yml", "id_rsa.pub", "keys.py"]
)
def test_files_that_only_sound_so(path: str) -> None:
    assert redact.file_reason(path, b"A=1\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "token = 'gh" + "p_" + "a" * 36 + "'\n",
        "API_KEY = 'a8f5f167f44f4964e6c998dee827110c'\n",
        '{"password": "correct-horse-7"}\n',
        "export DB_PASSWORD=s3cr3tpassw0rd\n",
        "-----BEGIN PRIV" + "ATE KEY-----\nabc\n",
    ],
)
def test_files_that_hold_a_secret(text: str) -> None:
    assert redact.file_reason("train.py", text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['PASSWORD']\n",
        "token = get_token()\n",
        "api_key: str = ''\n",
        "password = 'changeme'\n",
        "secret = '<your-secret>'\n",
        "max_tokens = 'abcdef123456'\n",
        "api_key: ${API_KEY}\n",
        "help='the password of the database'\n",
        "parser.add_argument('--token', help='an access token')\n",
        "commit = '763950b7fad1692c8027b44b4c2801f53eaa7cf9'\n",
        "def login(password: str, token: Optional[str]) -> None: ...\n",
    ],
)
def test_files_that_talk_of_secrets_only(text: str) -> None:
    assert redact.file_reason("train.py", text.encode()) is None


def test_the_users_own_globs_withhold_too() -> None:
    assert redact.file_reason("data/x.csv", b"", withhold=["data/*"]) == (
        "matches source.withhold: data/*"
    )


def test_binary_and_large_files_are_judged_in_bounded_time() -> None:
    assert redact.file_reason("x.bin", b"\0" * 10_000_000) is None
    assert redact.file_reason("x.txt", b"a_b-c " * 2_000_000) is None


@pytest.mark.parametrize(
    "code",
    [
        'password = "SECRET"',
        "db_password: str = 'SECRET'",
        "os.environ['DB_PASSWORD'] = 'SECRET'",
        'os.environ.setdefault("API_KEY", "SECRET")',
        'login(user, token="SECRET")',
        'if api_key == f"SECRET":',
        'api_key = """SECRET"""',
        'headers = {"x-api-key": "SECRET"}',
        "%env DB_PASSWORD SECRET",
        "!export TOKEN=SECRET",
        "%%bash\nexport TOKEN=SECRET",
        "engine('postgres://ada:SECRET@host/db')",
    ],
)
def test_secrets_in_cells(code: str) -> None:
    safe, found = redact.redact_code(code.replace("SECRET", "hunter2x9"))
    assert safe == code.replace("SECRET", redact.MARK)
    assert len(found) == 1


@pytest.mark.parametrize(
    "code",
    [
        "token = next(tokens)",
        'if token == "the":',
        'api_key = os.environ["API_KEY"]',
        'password = getpass("Password: ")',
        'max_tokens = "hello"',
        'optimizer_key = "adam"',
        'raise ValueError("no password: give one")',
        "# %%bash\nexport(TOKEN=tokens)",
    ],
)
def test_cells_without_secrets_stay_as_they_are(code: str) -> None:
    assert redact.redact_code(code) == (code, [])


def test_a_notebook_is_looked_through_as_the_code_in_it() -> None:
    cell = {"source": ["import db\n", 'password = "hunter2x9"\n', "db.open(password)"]}
    data = json.dumps({"cells": [cell]}).encode()
    assert redact.file_reason("a.ipynb", data) == "holds a secret: password"
    clean = json.dumps({"cells": [{"source": ['print("no password: give one")\n']}]}).encode()
    assert redact.file_reason("a.ipynb", clean) is None
