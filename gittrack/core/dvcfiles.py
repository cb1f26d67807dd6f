"""A run as DVC reads it: its params, metrics and plots, and the configuration beside them. Pure.

DVC reads every `dvc.yaml`, `*.dvc` and `.dvcignore` in the tree of a commit before it gives out a
single file, so one bad file of that kind makes all others unreadable. What a user called so
therefore goes by another name.

Source: DVC 3.67, `dvc.config_schema`, `dvc.parsing` and `dvc.repo.plots`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.core import kept, names, yamltext
from gittrack.core.model import Metric, MetricSummary, ParamValue

CONFIG = ".dvc/config"
PIPELINE = "dvc.yaml"
PARAMS = "params.yaml"
METRICS = "metrics.json"
ARTIFACTS = "artifacts"
#: What DVC itself writes there: its own files are no files of the worktree.
IGNORE = (".dvc/.gitignore", b"/config.local\n/tmp\n/cache\n")
#: A picture has no room for more, and the browser that draws it no patience.
MAX_POINTS = 1_000

#: Names that DVC or git take for their own; some file systems read `git~1` as `.git`.
_TAKEN = re.compile(r"(?i)(\.git|\.dvc|git~\d).*|dvc\.(yaml|lock)|.*\.dvc", re.DOTALL)
#: What no Windows holds, what our own escapes look like, and what DVC fills in (`${...}`).
_ESCAPED = re.compile(r'[%$\\:*?"<>|]|~[0-9a-f]{16}$')

#: The options of a remote that anybody may know, of all that DVC has. Passwords, tokens, keys,
#: files and commands of a machine are not among them, and what DVC learns later is not, either.
_PUBLIC = frozenset(
    """
    jobs checksum_jobs verify timeout connect_timeout read_timeout connection_timeout
    auth custom_auth_header method user ask_password ask_passphrase ssl_verify use_ssl
    region profile endpointurl allow_anonymous_login sse sse_kms_key_id sse_customer_algorithm
    acl grant_read grant_read_acp grant_write_acp grant_full_control cache_regions projectname
    port gss_auth allow_agent max_sessions replication
    kerberos kerberos_principal proxy_to use_https data_proxy_target
    account_name tenant_id client_id exclude_environment_credential
    exclude_visual_studio_code_credential exclude_shared_token_cache_credential
    exclude_managed_identity_credential oss_endpoint gdrive_client_id gdrive_use_service_account
    gdrive_service_account_user_email gdrive_trash_only gdrive_acknowledge_abuse
    """.split()
)
#: They say how else a remote keeps files; ours are objects below a prefix on every remote.
_NOT_OURS = ("worktree", "version_aware", "no_traverse", "listobjects", "shared", "type",
             "protected", "slow_link_warning")  # fmt: skip
#: What DVC takes anyway; whether it says so depends on its version.
_DEFAULTS = {"verify": "false", "use_ssl": "true", "allow_anonymous_login": "false",
             "gdrive_trash_only": "false", "gdrive_acknowledge_abuse": "false"}  # fmt: skip
_REMOTE_SCHEME = "remote://"


class Published(NamedTuple):
    """A remote as everybody may read of it; `left_out` names the options that they may not.

    Our objects are in the folder `prefix` there.
    """

    name: str
    options: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    prefix: str = ""


class Pointer(NamedTuple):
    """What a `.dvc` file says; `files` is their number in a folder.

    `size_bytes` is None where it is not known to every clone alike.
    """

    name: str
    md5: str
    size_bytes: int | None = None
    files: int | None = None
    is_exec: bool = False


# -- names -----------------------------------------------------------------------------------


def safe_path(path: str, *, is_parent: bool = False) -> str:
    """The path that a file has for DVC: its own, unless git, DVC or Windows could not take it.

    A part that they could not take is escaped as in the store (`names.encode_segment`); no two
    paths become one.

    Args:
        is_parent: whether the path is also a folder of another file; it gets `%2F` at its end.
    """
    safe = "/".join([_safe_segment(part) for part in path.split("/")])
    return f"{safe}%2F" if is_parent else safe


def _safe_segment(name: str) -> str:
    if name.isprintable() and not _ESCAPED.search(name) and not _TAKEN.fullmatch(name):
        # Letters of every script may stay; what is left of the name follows the store's rules.
        plain = re.sub(r"[^A-Za-z0-9._ -]", "x", name.removeprefix("."))
        fits = len(name.encode()) <= names.MAX_SEGMENT_BYTES
        if plain and fits and names.encode_segment(plain) == plain:
            return name
    if not name:
        return "%2F"  # of a path that no gittrack writes; it must not stop the others
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Halves of pairs, which a listing in JSON can name.
        name = name.encode("utf-8", "backslashreplace").decode()
    return names.encode_segment(name)


def plot_files(keys: Collection[str]) -> dict[str, str]:
    """The file of each metric's curve: its key as far as that is a path."""
    found = {}
    for key in sorted(keys):
        is_path = all(part not in ("", ".", "..") for part in key.split("/"))
        found[key] = f"plots/{safe_path(key) if is_path else names.encode_segment(key)}.csv"
    parents = kept.parents_of(found.values())
    return {
        key: f"plots/{names.encode_segment(key)}%2F.csv" if file in parents else file
        for key, file in found.items()
    }


# -- files -----------------------------------------------------------------------------------


def encode_params(params: Mapping[str, ParamValue]) -> bytes:
    """params.yaml: each param by its key as it is; what is no number as in `encode_metrics`."""
    return yamltext.encode({key: _value(value) for key, value in params.items()})


def encode_metrics(metrics: Mapping[str, MetricSummary]) -> bytes:
    """metrics.json: the last value of each metric, by its key as it is.

    NaN and infinity are text (`"nan"`, `"inf"`), as DVC's own logger writes them: JSON has no word
    for them, and two NaN of one kind are no difference.
    """
    values = {key: _value(metrics[key].last) for key in sorted(metrics)}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    # Halves of surrogate pairs as JSON escapes them.
    return text.encode("utf-8", "backslashreplace")


def _value(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def encode_curve(points: Iterable[Metric]) -> bytes:
    """A curve as CSV: the last value of each step; of many steps an even sample.

    Args:
        points: of one metric, ordered by step, then time, then value.
    """
    rows = {point.step: point.value for point in points if math.isfinite(point.value)}
    steps = list(rows)
    every = -(-len(steps) // MAX_POINTS) or 1
    shown = steps[::every]
    if shown and shown[-1] != steps[-1]:
        shown.append(steps[-1])
    return "".join(["step,value\n", *(f"{step},{rows[step]!r}\n" for step in shown)]).encode()


def encode_pipeline(plots: Mapping[str, str], *, params: bool, metrics: bool) -> bytes:
    """dvc.yaml: where the params, the metrics and the curves are.

    Args:
        plots: the file of each metric's curve.
    """
    lines = []
    if metrics:
        lines.append(f'metrics: ["{METRICS}"]')
    if params:
        lines.append(f'params: ["{PARAMS}"]')
    if plots:
        lines.append("plots:")
    for key, file in plots.items():
        # DVC would fill in what stands in `${...}`.
        title = key.replace("${", "\\${")
        entry = {"x": "step", "y": "value", "title": title, "y_label": title}
        lines.append(f"- {yamltext.encode_flow({file: entry})}")
    return "".join(f"{line}\n" for line in lines or ["{}"]).encode()


def encode_pointer(pointer: Pointer) -> bytes:
    """A `.dvc` file, as DVC writes them."""
    lines = [f"- md5: {pointer.md5}"]
    if pointer.size_bytes is not None:
        lines.append(f"  size: {pointer.size_bytes}")
    if pointer.files is not None:
        lines.append(f"  nfiles: {pointer.files}")
    if pointer.is_exec:
        lines.append("  isexec: true")
    lines += ["  hash: md5", f"  path: {yamltext.encode_flow(pointer.name)}"]
    return ("outs:\n" + "\n".join(lines) + "\n").encode()


# -- remotes ---------------------------------------------------------------------------------


def publish(name: str, remotes: Mapping[str, Mapping[str, Any]], prefix: str) -> Published | None:
    """A remote of DVC's configuration, without what only its owner may know; None: there is none.

    Args:
        remotes: all remotes of the configuration, since one may stand on another (`remote://`).
        prefix: the folder on the remote that holds our objects.
    """
    found = _resolve(name, remotes, ())
    if found is None:
        return None
    options = {"url": _public_url(str(found.pop("url")), "").rstrip("/")}
    left_out = []
    for key, value in sorted(found.items()):
        if key in _NOT_OURS or value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if _DEFAULTS.get(key) == text:
            continue
        # A file of certificates is one of this machine.
        is_file = key == "ssl_verify" and text not in ("true", "false")
        if key in _PUBLIC and not is_file and _quoted(text) is not None:
            options[key] = text
        else:
            left_out.append(key)
    return Published(name, options, tuple(left_out), prefix)


def _resolve(
    name: str, remotes: Mapping[str, Mapping[str, Any]], above: Sequence[str]
) -> dict[str, Any] | None:
    """The options of a remote and of those that it stands on."""
    options = remotes.get(name)
    if options is None or "url" not in options or name in above:
        return None
    url = str(options["url"])
    if not url.startswith(_REMOTE_SCHEME):
        return dict(options)
    other, _, rest = url.removeprefix(_REMOTE_SCHEME).partition("/")
    base = _resolve(other.lower(), remotes, [*above, name])
    if base is None:
        return None
    return {**base, **options, "url": _public_url(str(base["url"]), rest).rstrip("/")}


def _public_url(url: str, folder: str) -> str:
    """The address of a folder on a remote, without the secrets in that of the remote."""
    scheme, found, rest = url.partition("://")
    if not found:
        return f"{url.rstrip('/')}/{folder}"
    # What follows a `?` of a signed address lets in whoever knows it.
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    user, at, address = host.rpartition("@")
    safe = f"{user.partition(':')[0]}{at}{address}{slash}{path}"
    return f"{scheme}://{safe.rstrip('/')}/{folder}"


def encode_config(remote: Published | None) -> bytes:
    """.dvc/config; without a remote it only says that DVC reads this tree."""
    if remote is None:
        return b""
    # The folder is a remote of its own, which stands on theirs: whoever has another address or
    # credentials for that one, in config.local, has them for this one too.
    ours = f"{remote.name}-{remote.prefix}"
    lines = ["[core]", f"    remote = {ours}", f"['remote \"{remote.name}\"']"]
    lines += [f"    {key} = {_quoted(value)}" for key, value in remote.options.items()]
    lines += [f"['remote \"{ours}\"']"]
    lines += [f"    url = {_REMOTE_SCHEME}{remote.name}/{remote.prefix}"]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: str) -> str | None:
    """A value as DVC's configuration reads it, None for one that it cannot hold."""
    if re.fullmatch(r"[\w./:@~+=&-]+", text):
        return text
    # `%(name)s` is filled in with another option.
    if "%(" in text or any(ord(char) < 32 for char in text):
        return None
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    return None
