"""Secrets, taken out before the first write: in git a leak is for ever.

Four signs tell a secret: a key whose name says so, the shape of a well-known token, characters
as random as only a key's are, and the name or content of a file. Commit ids, digests, UUIDs,
names of models and paths are random too, or look so, and stay; `redact.allow` lists what else
shall. What is taken out is marked, never silently dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise
from math import log2
from typing import Any

MARK = "<redacted>"
#: Bytes of a file that are looked through; secrets are written by hand, near other text.
_SCANNED_BYTES = 2_000_000

#: Well-known tokens: label, lower-case parts of which it holds one, expression. The group
#: `secret`, if there is one, is what is taken out. Nothing is compiled before a part is met.
_SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("AWS access key", ("akia", "asia", "aroa", "aida"),
     r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}\b"),
    ("AWS secret key", ("aws",),
     r"(?i)aws.{0,20}?(?:secret|sk).{0,20}?['\"=:\s](?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
     r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
    ("GitLab token", ("gl",), r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_\-]{20,}"),
    ("Slack token", ("xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("Slack webhook", ("hooks.slack",), r"https://hooks\.slack\.com/services/T[A-Za-z0-9_/]{20,}"),
    ("Google API key", ("aiza",), r"\bAIza[A-Za-z0-9_\-]{35}"),
    ("Google OAuth token", ("ya29.",), r"\bya29\.[A-Za-z0-9_\-]{20,}"),
    ("OpenAI key", ("sk-",), r"\bsk-(?=[A-Za-z0-9_\-]*[0-9])[A-Za-z0-9_\-]{20,}"),
    ("Hugging Face token", ("hf_", "api_org_"), r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b"),
    ("Stripe key", ("_live_", "_test_"), r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", ("pypi-",), r"\bpypi-[A-Za-z0-9_\-]{50,}"),
    ("JWT", ("eyj",), r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}"),
    ("SendGrid key", ("sg.",), r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),
    ("Twilio key", ("ac", "sk"), r"\b(?:AC|SK)[0-9a-f]{32}\b"),
    ("Telegram token", (":aa",), r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}"),
    ("DigitalOcean token", ("_v1_",), r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    ("Databricks token", ("dapi",), r"\bdapi[0-9a-f]{32}\b"),
    ("Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{37,}\b"),
    ("Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{40,}\b"),
    ("Docker token", ("dckr_",), r"\bdckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,}"),
    ("Vault token", ("hvs.", "hvb.", "hvr."), r"\bhv[sbr]\.[A-Za-z0-9_\-]{24,}"),
    ("Linear key", ("lin_api_",), r"\blin_api_[A-Za-z0-9]{40}\b"),
    ("Shopify token", ("shp",), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    ("Mailgun key", ("key-",), r"\bkey-[0-9a-f]{32}\b"),
    ("Discord webhook", ("discord",),
     r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]+/[\w\-]{40,}"),
    ("Azure key", ("key=",),
     r"(?i)(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{40,}={0,2})"),
    ("signature in a URL", ("sig=", "signature="),
     r"(?i)[?&](?:sig|signature|x-amz-signature)=(?P<secret>[A-Za-z0-9%+/=_\-]{20,})"),
    ("private key", ("private key",),
     r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.{0,9}--(?:.*?-----END [A-Z0-9 ]*KEY.{0,9}--|.*)"),
    ("credentials in a URL", ("://",),
     r"\b[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@'\"]*:(?P<secret>[^\s/@'\"]+)@"),
    ("token in a URL", ("://",), r"\bhttps?://(?P<secret>[^\s/:@'\"]{8,})@"),
    ("authorization header", ("bearer", "basic", "token"),
     r"(?i)\b(?:bearer|basic|token)\s+(?=[^\s]*[0-9])(?P<secret>[A-Za-z0-9_\-.=+/~]{16,})"),
)  # fmt: skip

_LONG = r"[A-Za-z0-9]{20}"
_WORD = r"(?<![A-Za-z0-9+/_\-.@])[A-Za-z0-9+/_\-]{20,300}={0,2}(?![A-Za-z0-9+/=_\-@])"
#: What stands before a digest, an embedded picture or a public key.
_DIGEST_BEFORE = (
    r"(?i)(?:\bsha-?\d+|\bmd5|blake\w*|digest|hash|checksum|integrity|etag|fingerprint|commit|"
    r"revision|base64|\bid|public[_ -]?key|ssh-[a-z0-9\-]+)[\"']?\s*[-:=, ]\s*[\"']?"
    r"(?:sha\d+[-:])?$"
)
#: Words in a name that say what the value is, and names that only sound so.
_SECRET_WORDS = (
    r"(?i)(?:^|[_\-.\s/])(?:"
    r"pass(?:word|wd|phrase|code)?|pwd|secrets?|credentials?|creds|"
    r"(?:api|access|private|secret|auth|encryption|signing|account|storage|master|shared|app|"
    r"service|client|license)[_\-]?(?:key|token|secret|pass(?:word)?)s?|"
    r"apikeys?|authtoken|(?:auth|access|bearer|refresh|session|id|oauth|jwt|csrf|personal|bot|"
    r"user|github|gitlab|gh|hf|huggingface|wandb|openai|slack|npm|pypi|aws)[_\-]?tokens?|"
    r"token|authorization|connection[_\-]?string|conn[_\-]?str|dsn|webhook(?:[_\-]?url)?|"
    r"sas[_\-]?(?:url|key)|wandb[_\-]?key|openai[_\-]?key|hf[_\-]?key"
    r")$"
)
#: One of these is part of every name that the expression above accepts.
_SECRET_HINTS = (
    "pass",
    "pwd",
    "secret",
    "cred",
    "token",
    "key",
    "auth",
    "conn",
    "dsn",
    "hook",
    "sas",
)
#: Without one of these and without a long word, a line holds nothing that is looked for.
_ALL_HINTS = (
    *{hint for _, hints, _ in _SHAPES for hint in hints},
    *_SECRET_HINTS,
    "-----begin",
)
_CAMEL = r"(?<=[a-z0-9])(?=[A-Z])"
#: Counts, ids of special tokens and switches are called tokens too.
_INNOCENT_NAME = (
    r"(?i)(?:^|[_\-.])(?:max|min|num|n|total|avg|mean|eos|bos|pad|unk|sep|cls|mask|mem|memory|special|"
    r"image|use|add|per|new|decoder|start|end|stop|trigger|class|next|no|has|is|with|skip)"
    r"(?:[_\-.][a-z0-9]+)*[_\-.]?(?:tokens?|key|pass(?:es)?|secret)$"
)
_PLACEHOLDER = (
    r"(?i)^(?:|x{3,}|\*+|\.{3}|-+|_+|none|null|nil|true|false|yes|no|changeme|change[_\-]me|"
    r"placeholder|example|dummy|test|todo|tbd|secret|password|token|redacted|your[_\- ].*|"
    r"my[_\- ].*|<.*>|\[.*\]|\$\{.*\}|\$\w+|\$\(.*\)|%\w+%|\{\{.*\}\}|\{\w*\}|env[.:].*|"
    r"os\.environ.*|os\.getenv.*|getenv.*|[0-9]{1,3})$"
)
#: `password = "..."` in code or configuration. The value is a literal of some length.
_ASSIGNMENT = r"""(?ix)(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,60})["']?\s*(?:=|:)\s*
    (?P<quote>["'])(?P<value>[^"'\n]{6,200})(?P=quote)"""
_BARE_ASSIGNMENT = (
    r"(?m)^\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,60})\s*[=:]\s*"
    r"(?P<value>[^\s\"'#]{8,200})\s*$"
)
#: The same in what a program prints: a line of a dict, of a shell's environment, of a log.
_PRINTED = (
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,60})[\"']?\s*(?P<sign>[=:])\s*"
    r"(?:(?P<quote>[\"'])(?P<value>[^\"'\n]{3,300})|(?P<bare>(?!<redacted>)[^\s\"',;}\])]{3,300}))"
)
#: A literal in code: `password = "..."`, `environ["API_KEY"] = "..."`, `setenv("API_KEY", "...")`.
_LITERAL = (
    r"""(?:(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,60})["']?\s*\]?\s*(?::\s*str\s*)?(?:={1,2}|:)\s*|"""
    r"""env[a-z.]*\(\s*["'](?P<variable>\w{1,60})["']\s*,\s*)[bBfFrRuU]{0,2}"""
    r"""(?P<quote>"{3}|'{3}|["'])(?P<value>(?:(?!(?P=quote)).){3,300})(?P=quote)"""
)
_ENV_MAGIC = r"^\s*%(?:set_)?env\s+(?P<name>\w+)[\s=]+(?P<value>\S.*)$"
_URL_PARAMETER = r"(?P<head>[?&](?P<name>[^=&#\s]+)=)(?P<value>[^&#\s]+)"

_SECRET_FILES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
    "*.ppk", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pypirc", ".npmrc",
    ".pgpass", ".htpasswd", ".git-credentials", "credentials", "credentials.json",
    "client_secret*.json", "service-account*.json", "service_account*.json", "secrets.yaml",
    "secrets.yml", "secrets.json", "secrets.toml", "kaggle.json", "*.kdbx", "*.ovpn",
)  # fmt: skip
_TEMPLATES = (
    "*.example", "*.sample", "*.template", "*.dist", "*.tmpl", "*.pub", "*.example.*", "*.defaults",
)  # fmt: skip


# -- names ---------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def secret_key(name: str) -> bool:
    """Whether a name says that its value is a secret: `api_key`, not `max_tokens`."""
    lower = name.lower()
    if not any(hint in lower for hint in _SECRET_HINTS):
        return False
    snake = re.sub(_CAMEL, "_", name)
    return bool(re.search(_SECRET_WORDS, snake)) and not re.search(_INNOCENT_NAME, snake)


def _is_secret_value(value: str) -> bool:
    """Whether text under such a name can be one: not empty, a placeholder or `</s>`."""
    return len(value) >= 3 and not re.match(_PLACEHOLDER, value)


# -- text ----------------------------------------------------------------------------------


def redact_text(
    text: str, allow: Sequence[str] = (), *, random: bool = True
) -> tuple[str, list[str]]:
    """The text without the tokens in it, and what kinds of them were found.

    Args:
        allow: expressions; what one of them matches whole stays.
        random: also take out words as random as keys are.
    """
    found: list[str] = []
    if len(text) < 8:
        return text, found
    lower = text.lower()
    for label, hints, expression in _SHAPES:
        if not any(hint in lower for hint in hints):
            continue

        def replace(match: re.Match[str], label: str = label) -> str:
            named = "secret" in match.re.groupindex
            secret = match["secret"] if named else match[0]
            if (
                secret == MARK
                or _allowed(secret, allow)
                or (named and re.match(_PLACEHOLDER, secret))
            ):
                return match[0]
            found.append(label)
            if not named:
                return MARK
            start, end = match.span("secret")
            return match[0][: start - match.start()] + MARK + match[0][end - match.start() :]

        text = re.sub(expression, replace, text)
    if random and re.search(_LONG, text):
        text, more = _redact_random(text, allow)
        found += more
    return text, found


def _redact_random(text: str, allow: Sequence[str]) -> tuple[str, list[str]]:
    """The text without words as random as keys are."""
    found: list[str] = []

    def replace(match: re.Match[str]) -> str:
        word = match[0]
        before = text[max(0, match.start() - 200) : match.start()]
        if not _is_random(word) or _allowed(word, allow) or re.search(_DIGEST_BEFORE, before):
            return word
        # The path of a URL is made of ids; what is secret in one has a shape of its own.
        if re.search(r"://[^\s\"'?]*$", before):
            return word
        found.append("random characters")
        return MARK

    return re.sub(_WORD, replace, text), found


def _is_random(word: str) -> bool:
    """Whether a word has the look of base62 or base64 that a machine drew.

    Its longest part without separators is judged: drawn characters change between lower case,
    upper case and digits at 62 % of the places, identifiers in CamelCase at about 30 %. Of drawn
    words of 24 characters 95 % are found, of 40 99 %; of 102,000 long words in Python packages 191.
    """
    part = max(re.split(r"[^A-Za-z0-9]+", word), key=len)
    size = len(part)
    if not 20 <= size <= 200 or part.startswith("AAAA"):  # AAAA begins public keys of ssh
        return False
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in part]
    if len(set(kinds)) < 3:
        return False
    changes = sum(a != b for a, b in pairwise(kinds)) / (size - 1)
    return changes >= 0.4 and _entropy(part) >= min(4.3, 0.84 * log2(size))


def _entropy(text: str) -> float:
    """Shannon's entropy, in bits a character."""
    counts = [text.count(c) for c in set(text)]
    return -sum(n / len(text) * log2(n / len(text)) for n in counts)


def redact_url(url: str, allow: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The URL without password, token and secret parameters; a plain user name stays."""
    found: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if not secret_key(match["name"]) or _allowed(match["value"], allow):
            return match[0]
        if match["value"] != MARK:
            found.append(f"URL parameter {match['name']}")
        return match["head"] + MARK

    if "=" in url and ("?" in url or "&" in url):
        url = re.sub(_URL_PARAMETER, replace, url)
    text, more = redact_text(url, allow)
    return text, found + more


def redact_argv(argv: Sequence[str], allow: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """A command line without secrets, and what was found.

    `--password X`, `--api-key=X`, `KEY=X`, `-H 'Authorization: ...'`, URLs and bare tokens.
    """
    safe: list[str] = []
    found: list[str] = []
    secret_next = ""
    for arg in argv:
        if secret_next:
            flag, secret_next = secret_next, ""
            if not arg.startswith("-") and _is_secret_value(arg) and not _allowed(arg, allow):
                safe.append(MARK)
                found.append(flag)
                continue
        name, equals, value = arg.lstrip("-").partition("=")
        if (equals or arg.startswith("-")) and _is_word(name) and secret_key(name):
            if not equals:
                secret_next = name
            elif _is_secret_value(value) and not _allowed(value, allow):
                safe.append(arg[: len(arg) - len(value)] + MARK)
                found.append(name)
                continue
        text, hits = redact_url(arg, allow)
        if re.search(r"\s", text):
            # A script or a document on the command line, as of `sh -c` and `python -c`.
            text, more = redact_line(text, allow)
            hits += more
        safe.append(text)
        found.extend(hits)
    return safe, found


def redact_param(key: str, value: Any, allow: Sequence[str] = ()) -> tuple[Any, str | None]:
    """A param's value without secrets, and what was found in it, if anything."""
    if isinstance(value, str):
        if len(value) >= 3 and secret_key(key) and _is_secret_value(value):
            return (value, None) if _allowed(value, allow) else (MARK, "its name says so")
        # A mapping within a list comes as text; its names tell as well.
        is_mapping = value.startswith("{") and value.endswith("}")
        text, found = redact_line(value, allow) if is_mapping else redact_url(value, allow)
        return text, found[0] if found else None
    if isinstance(value, list):
        items = [redact_param(key, item, allow) for item in value]
        hit = next((hit for _, hit in items if hit is not None), None)
        return ([item for item, _ in items], hit) if hit is not None else (value, None)
    return value, None


def _is_word(name: str) -> bool:
    return name.replace("_", "").replace("-", "").replace(".", "").isalnum()


# -- lines of output -----------------------------------------------------------------------


class LineRedactor:
    """Takes secrets out of what a program prints, line by line.

    A private key is taken out from its first line to its last, and a certificate left alone.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = allow
        self._until = ""

    def redact(self, rows: Sequence[bytes]) -> tuple[list[bytes], list[str]]:
        """The rows without secrets, and the kinds of those that were found."""
        found: list[str] = []
        if not self._until and not self._is_suspect(b"\n".join(rows)):
            return list(rows), found
        return [self._row(row, found) for row in rows], found

    def _is_suspect(self, data: bytes) -> bool:
        """Whether anything in it deserves a closer look; most output does not."""
        text = data.decode("utf-8", "replace")
        lower = text.lower()
        return any(hint in lower for hint in _ALL_HINTS) or re.search(_LONG, text) is not None

    def _row(self, row: bytes, found: list[str]) -> bytes:
        text = row.decode("utf-8", "replace")
        if self._until:
            hidden = "PRIVATE" in self._until
            if self._until in text:
                self._until = ""
            return MARK.encode() if hidden else row
        begins = re.search(r"-----BEGIN ([A-Z0-9 ]+)-----", text)
        if begins and f"-----END {begins[1]}-----" not in text:
            self._until = f"-----END {begins[1]}-----"
            if "PRIVATE" in begins[1]:
                found.append("private key")
                return text[: begins.start()].encode() + MARK.encode()
            return row
        safe, hits = redact_line(text, self._allow)
        found += hits
        return safe.encode() if hits else row


def redact_line(text: str, allow: Sequence[str] = ()) -> tuple[str, list[str]]:
    """A line of output without secrets: tokens, URLs, and `name=value` where the name tells."""
    found: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name, group = match["name"], "value" if match["quote"] else "bare"
        value = match[group]
        if not secret_key(name) or not _is_secret_value(value) or _allowed(value, allow):
            return match[0]
        # `password: required` is prose, `password: x7Rq2` is not.
        if match["sign"] == ":" and not match["quote"] and not _has_digit_and_letter(value):
            return match[0]
        if MARK in value or len(value) < 5:
            return match[0]
        found.append(name)
        start, end = match.span(group)
        return match[0][: start - match.start()] + MARK + match[0][end - match.start() :]

    lower = text.lower()
    if any(hint in lower for hint in _SECRET_HINTS):
        text = re.sub(_PRINTED, replace, text)
    safe, hits = redact_url(text, allow)
    return safe, found + hits


def _has_digit_and_letter(value: str) -> bool:
    return bool(re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value))


# -- code ----------------------------------------------------------------------------------


def redact_code(text: str, allow: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Code typed into a cell or a prompt without secrets, and the kinds of those that were found.

    Names tell of literals alone: in `token = next(tokens)` there is no secret. Lines for a shell
    or a magic are taken as output is.
    """
    found: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name, value = match.groupdict().get("variable") or match["name"], match["value"]
        if not secret_key(name) or not _is_secret_value(value) or _allowed(value, allow):
            return match[0]
        # A sentence; a word of a language's: `token == "the"`.
        if MARK in value or " " in value.strip() or ("token" in name.lower() and value.isalpha()):
            return match[0]
        found.append(name)
        start, end = match.span("value")
        return match[0][: start - match.start()] + MARK + match[0][end - match.start() :]

    lower = text.lower()
    if any(hint in lower for hint in _SECRET_HINTS):
        text = re.sub(_LITERAL, replace, text)
        rows = text.split("\n")
        is_script = rows[0].startswith(("%%sh", "%%bash", "%%script", "%%writefile", "%%file"))
        for at, row in enumerate(rows):
            if is_script or row.lstrip()[:1] in ("!", "%"):
                row, hits = redact_line(re.sub(_ENV_MAGIC, replace, row), allow)
                rows[at] = row
                found += hits
        text = "\n".join(rows)
    text, hits = redact_text(text, allow)
    return text, found + hits


# -- files ---------------------------------------------------------------------------------


def file_reason(
    path: str, data: bytes, withhold: Sequence[str] = (), allow: Sequence[str] = ()
) -> str | None:
    """Why a file must not be stored, or None if it may be.

    Args:
        withhold: globs of the user's own, on the whole path or the name.
        allow: expressions; a secret that one of them matches whole does not count.
    """
    name = path.rpartition("/")[2]
    for pattern in withhold:
        if fnmatchcase(path, pattern) or fnmatchcase(name, pattern):
            return f"matches source.withhold: {pattern}"
    lower = name.lower()
    if not any(fnmatchcase(lower, pattern) for pattern in _TEMPLATES):
        for pattern in _SECRET_FILES:
            if fnmatchcase(lower, pattern):
                return f"its name is that of a file with secrets ({pattern})"
        if path.endswith(".dvc/config.local"):
            return "its name is that of a file with secrets (.dvc/config.local)"
    if b"\0" in data[:8000]:
        return None
    text = data[:_SCANNED_BYTES].decode("utf-8", "replace")
    if lower.endswith(".ipynb"):
        # The code of a notebook stands in it as JSON text.
        text = text.replace('\\"', '"').replace("\\n", "\n")
    # Code and lock files are full of digests and test vectors: random words are no sign there.
    _, found = redact_text(text, allow, random=False)
    if found:
        return f"holds a secret: {found[0]}"
    return _assigned(text, allow)


def _assigned(text: str, allow: Sequence[str]) -> str | None:
    for expression in (_ASSIGNMENT, _BARE_ASSIGNMENT):
        for match in re.finditer(expression, text):
            name, value = match["name"], match["value"]
            if not secret_key(name) or not _is_secret_value(value) or _allowed(value, allow):
                continue
            if expression is _BARE_ASSIGNMENT and not _looks_random(value):
                # Without quotes it may be a variable, a call or a type.
                continue
            if _is_prose(value):
                continue
            return f"holds a secret: {name}"
    return None


def _looks_random(value: str) -> bool:
    return bool(re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)) and not re.search(
        r"[(){}\[\]<>.,;]", value
    )


def _is_prose(value: str) -> bool:
    """Whether text is a message or a name rather than a secret."""
    return " " in value.strip() or (value.isalpha() and value.islower() and len(value) < 8)


# -- helpers -------------------------------------------------------------------------------


def _allowed(secret: str, allow: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, secret) for pattern in allow)
