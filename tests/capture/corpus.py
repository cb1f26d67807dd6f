"""Secrets and innocents. Secrets are put together here, so that no scanner finds one in this file."""

from __future__ import annotations

import random
import string

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def _random(n: int, chars: str, seed: int) -> str:
    return "".join(random.Random(seed).choices(chars, k=n))


def _tokens() -> list[tuple[str, str]]:
    """(text that holds it, the secret) for every shape, three of each."""
    found = []
    for seed in range(3):
        a = lambda n, seed=seed: _random(n, ALNUM, seed)  # noqa: E731
        h = lambda n, seed=seed: _random(n, HEX, seed)  # noqa: E731
        tokens = [
            "AK" + "IA" + _random(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", seed),
            "gh" + "p_" + a(36), "gh" + "o_" + a(36), "gh" + "s_" + a(36),
            "github" + "_pat_" + a(22) + "_" + a(59),
            "gl" + "pat-" + a(20), "xo" + "xb-" + "123456789012-" + a(24),
            "AI" + "za" + a(35), "ya" + "29." + a(60),
            "sk" + "-" + a(20) + "7" + a(27), "sk" + "-proj-" + a(60) + "3", "sk" + "-ant-api03-" + a(80),
            "h" + "f_" + a(34), "sk" + "_live_" + a(24), "rk" + "_test_" + a(24),
            "np" + "m_" + a(36), "py" + "pi-" + a(100),
            "ey" + "J" + a(20) + ".ey" + "J" + a(40) + "." + a(43),
            "S" + "G." + a(22) + "." + a(43), "A" + "C" + h(32),
            "123456789" + ":A" + "A" + a(33), "do" + "p_v1_" + h(64), "da" + "pi" + h(32),
            "r" + "8_" + a(37), "gs" + "k_" + a(52), "dck" + "r_pat_" + a(27),
            "hv" + "s." + a(90), "lin" + "_api_" + a(40), "shp" + "at_" + h(32), "key" + "-" + h(32),
        ]  # fmt: skip
        found += [(f"value is {token} here", token) for token in tokens]
        for text, secret in [
            ("https://ada:{}@example.com/x.git", a(12)),
            ("postgres://ada:{}@db:5432/x", a(9)),
            ("https://{}@example.com/x.git", a(20)),
            ("Authorization: Bearer {}", a(31) + "1"),
            ("AccountName=x;AccountKey={}==;EndpointSuffix=y", _random(86, ALNUM, seed)),
            ("https://x.blob.core.windows.net/c?sp=r&sig={}", a(43)),
            ("aws_secret_access_key = {}", a(40)),
            ("https://hooks.sla" + "ck.com/services/T{}", a(8) + "/B" + a(9) + "/" + a(24)),
            ("-----BEGIN RSA PRIV" + "ATE KEY-----\n{}\n-----END RSA PRIV" + "ATE KEY-----", a(64)),
        ]:
            found.append((text.format(secret), secret))
    return found


SECRET_TEXTS = _tokens()

SECRET_NAMES = [
    "password", "passwd", "pwd", "db_password", "DB_PASSWORD", "dbPassword", "secret", "client_secret",
    "clientSecret", "api_key", "apikey", "API_KEY", "openai_api_key", "apiKey", "access_key",
    "aws_secret_access_key", "private_key", "auth_token", "access_token", "refresh_token", "token",
    "hf_token", "HF_TOKEN", "github_token", "wandb.api_key", "credentials", "passphrase",
    "connection_string", "dsn", "webhook_url", "bearer_token", "encryption_key", "session_token",
    "slack-token", "npm_token", "bot_token", "secret_key", "SECRET_KEY", "smtp_pass", "storage_key",
]  # fmt: skip

INNOCENT_NAMES = [
    "max_tokens", "num_tokens", "n_tokens", "tokenizer", "tokens", "use_cls_token", "num_memory_tokens",
    "token_dim", "tokens_per_batch", "eos_token", "bos_token", "pad_token", "unk_token", "mask_token",
    "pad_token_id", "max_new_tokens", "min_tokens", "image_token", "special_tokens", "token_embedding",
    "key", "keys", "key_dim", "n_passes", "num_passes", "passes", "bypass", "sort_key", "key_size",
    "monkey", "compass", "secretary", "hidden_size", "attention_key_size", "learning_rate", "model",
    "seed", "author", "authors", "tokens_per_second", "total_tokens", "add_bos_token", "drop_token_rate", "keyboard", "turkey", "passenger_count", "surpass",
    "encompass", "tokenize", "detokenizer", "n_keys", "primary_key", "foreign_key", "group_key",
]  # fmt: skip

INNOCENT_TEXTS = [
    "763950b7fad1692c8027b44b4c2801f53eaa7cf9", "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "550e8400-e29b-41d4-a716-446655440000", "20261123-153012-7f3a9c1d2b4e", "m-0123456789abcdef0123456789abcdef",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "meta-llama/Llama-3.1-8B-Instruct", "sentence-transformers/all-MiniLM-L6-v2", "gpt-4o-2024-08-06",
    "/home/ada/projects/very/long/path/to/data/train_000123.parquet", "s3://bucket/key/part-00000.snappy.parquet",
    "git@github.com:ada/repo.git", "https://github.com/ada/repo.git", "ssh://git@example.com:22/x.git",
    "https://ada@example.com/x.git", "http://localhost:8080/path?x=1&y=2", "https://x.org/?page_token=&n=3",
    "python train.py --max-tokens 512 --tokenizer gpt2", "CUDA_VISIBLE_DEVICES=0,1,2,3", "PYTHONHASHSEED=0",
    "aGVsbG8gd29ybGQ=", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB", "0.123456789012345678", "1e-05", "adamw_torch_fused",
    "[1, 2, 3, 4, 5, 6, 7, 8]", "conv1d-bn-relu-conv1d-bn-relu", "task-specific-fine-tuning-baseline-run",
    "sk-learn", "risk-adjusted-return-over-benchmark", "disk-usage-by-folder-in-percent", "hf_dataset",
    "desk-based-work-and-other-things-here", "token ring network simulation", "basic linear algebra subprograms",
    "bearer of good news", "the basic configuration of the model", "key-value", "monkey-patching",
    "ffffffffffffffffffffffffffffffff", "0" * 64, "x" * 200, "AC/DC", "Sgd.momentum.nesterov", "SG.optimizer",
    "</s>", "<|endoftext|>", "[PAD]", "2026-11-23T15:30:12.123Z", "Mozilla/5.0 (X11; Linux x86_64)",
    "resnet50.a1_in1k", "vit_base_patch16_224.augreg2_in21k_ft_in1k", "experiment_42_lr0.001_bs32_seed7",
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "eyJ", "eyJhbGciOi",
    "npm_config_registry", "pypi-mirror", "glob-pattern", "global-step", "user:password reset flow",
    "http://[::1]:8080/", "mailto:ada@example.com", "ada@example.com", "file:///tmp/a:b@c",
    "docker://image@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "gcr.io/project/image:tag", "wandb/run-20261123_153012-abcdefgh", "runs:/0123456789abcdef0123456789abcdef/model",
    "0x7ffd3859a048", "v1.2.3-rc.4+build.567", "refs/heads/feature/AKIA-support", "3.11.7 (main, Nov 2026)",
    "train/loss=0.123 val/loss=0.456", "lambda x: x.token", "self.token = token", "def key(self): return 1",
    "linear_api_client", "lin_api_", "shape_at_layer", "https://example.com/a@b", "C:\\Users\\ada\\x.py",
    "k=v", "-k", "--", "--flag", "tests/test_key.py::test_secret", "SELECT * FROM tokens WHERE key = 1",
    "password", "secret", "a secret is kept here", "passwords are hashed with bcrypt", "private keys are not stored",
    "BEGIN PUBLIC KEY", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ ada@host", "sig=3", "signature=abc",
]  # fmt: skip


def drawn(size: int, count: int) -> list[str]:
    """Keys of no known shape: what a machine draws of letters and digits."""
    return [_random(size, ALNUM, 100_000 * size + seed) for seed in range(count)]


#: What a program prints that must not be kept: (line, secret).
SECRET_LINES = [
    (f"api_key={_random(20, ALNUM, 1)}", _random(20, ALNUM, 1)),
    ("DB_PASSWORD=hunter2hunter", "hunter2hunter"),
    ("{'password': 'correct-horse-battery'}", "correct-horse-battery"),
    ('"client_secret": "Zx81-abc-def"', "Zx81-abc-def"),
    ("config: Namespace(lr=0.1, api_token='abc123def', n=3)", "abc123def"),
    ("export WANDB_API_KEY=" + _random(40, HEX, 3), _random(40, HEX, 3)),
    ("password: s3cr3tpass", "s3cr3tpass"),
    ("connecting to redis://:pa55word@cache:6379/0", "pa55word"),
    ("GET https://x.org/data?access_token=abcdef123&page=2 200", "abcdef123"),
    ("Authorization: Basic " + "dXNlcjpwYXNz" + "d29yZDEyMw==", "dXNlcjpwYXNz" + "d29yZDEyMw=="),
]

#: What programs print all day, and must stay as it is.
INNOCENT_LINES = [
    "Epoch 3/10: 100%|##########| 938/938 [00:12<00:00, 75.13it/s, loss=0.123]",
    "step 1000 loss 0.4521 lr 3.0e-04 tokens/s 12345.6",
    "tokens: 1234567",
    "total_tokens=512",
    "Loading checkpoint shards: 100%|##########| 2/2 [00:05<00:00,  2.61s/it]",
    "Some weights of BertForSequenceClassification were not initialized from bert-base-uncased",
    "Setting `pad_token_id` to `eos_token_id`:50256 for open-end generation.",
    "tokenizer=GPT2TokenizerFast(name_or_path='gpt2', vocab_size=50257)",
    "/usr/lib/python3/dist-packages/torch/nn/modules/module.py:1532: UserWarning: x",
    'File "/home/ada/train.py", line 12, in <module>',
    "KeyError: 'token'",
    "key = 12",
    "commit 763950b7fad1692c8027b44b4c2801f53eaa7cf9 (HEAD -> main)",
    "password: required",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  model.pt",
    "Downloading model-00001-of-00002.safetensors: 4.98G/4.98G",
    "secret: none",
    "token = None",
    "Model(conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)",
    "accuracy 0.9532 precision 0.9411 recall 0.9604 f1 0.9507",
    "[rank0]: NCCL version 2.20.5+cuda12.4",
    "tensor([[0.1234567890, 0.9876543210], [0.1122334455, 0.5544332211]], device='cuda:0')",
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-8f6d9c1b-7f2e-4a0d-9f6c-3b2a1d0e9f8c)",
    "wandb: Run data is saved locally in /home/ada/wandb/run-20261123_153012-a1b2c3d4",
    "2026-11-23 15:30:12,123 INFO root: starting with seed=42 and passes=3",
    "best_model_path=checkpoints/epoch=12-step=34567-val_loss=0.123.ckpt",
    "max_tokens: 512",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: train.py FAILED",
    "AutoModelForSequenceClassificationWithCustomHeadAndLongName2 loaded",
    "next_token: 'the'",
    "key=value pairs of the config",
    "primary_key: id",
    "HTTP/1.1 200 OK 0x7ffd3859a048",
]
