"""A model server on this machine with a fixed model: it speaks vLLM's, SGLang's, OpenAI's and the decisions dialect."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import exp, log
from typing import Any

SPECIALS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
WORDS = ("Yes", "No", "1", "2", "3", "4", "5")
VOCABULARY = tuple(dict.fromkeys([*(chr(code) for code in range(33, 127)), " ", "\n", *WORDS, *SPECIALS]))
"""As in Qwen's, the first two tokens are an exclamation mark and a quotation mark."""
NOTHING = -1e4

Logits = Callable[[str, Sequence[bytes]], Mapping[str, float]]


def by_digest(text: str, images: Sequence[bytes]) -> Mapping[str, float]:
    """Logits that follow from a hash of prompt and images; the words that the question offers are likely."""
    digest = hashlib.sha256(text.encode() + b"".join(images)).digest()
    offered = ("Yes", "No") if "Yes or No" in text else WORDS[2:]
    noise = {token: digest[index % 32] / 256 for index, token in enumerate(VOCABULARY)}
    return noise | {word: 7 + 3 * digest[index] / 256 for index, word in enumerate(offered)}


def fixed(logits: Mapping[str, float]) -> Logits:
    """The same logits whatever is asked; tokens left out are impossible."""
    return lambda text, images: {token: logits.get(token, NOTHING) for token in VOCABULARY}


_IDS = {token: number for number, token in enumerate(VOCABULARY)}
_TOKEN = re.compile("|".join(re.escape(token) for token in sorted(VOCABULARY, key=len, reverse=True)) + "|.", re.DOTALL)


def tokenize(text: str) -> list[int]:
    """Greedy: the longest token first; what is in no token is one more."""
    return [_IDS.get(token, len(VOCABULARY)) for token in _TOKEN.findall(text)]


def render(messages: Sequence[Mapping[str, Any]], default: str = "You are a helpful assistant.") -> str:
    """Qwen2.5-VL's chat template, without a generation prompt and with the last message left open."""
    text = "" if messages[0]["role"] == "system" or not default else f"<|im_start|>system\n{default}<|im_end|>\n"
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        body = "".join(part["text"] if part["type"] == "text" else image for part in parts)
        text += f"<|im_start|>{message['role']}\n{body}<|im_end|>\n"
    return text


GENERATION = "<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error status."""

    status: int
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ChatServer:
    """The state behind one server; tests set and read it."""

    speaks: frozenset[str] = frozenset({"vllm"})
    """Of `vllm`, `openai`, `sglang` and `decisions`."""
    logits: Logits = by_digest
    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    key: str = ""
    system: str = "You are a helpful assistant."
    """What the template says without a system message."""
    knows_only_openai: bool = False
    """Whether options outside OpenAI's own are an error, as with the hosted service."""
    reply: tuple[str, str] = ("{}", "stop")
    """What is written, and why it ended."""
    delay_s: float = 0.0
    dies_after: int | None = None
    """Answers that it still gives before it is gone."""
    refusals: deque[Refusal] = field(default_factory=deque)
    """What the next questions get instead of an answer."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of all questions and requests to write, in order of arrival, with `path` and `at_s` added."""
    busy: int = 0
    busiest: int = 0
    port: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: set[socket.socket] = field(default_factory=set)
    listener: Any = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, at the same port as before if there was one."""
        self.stopped.clear()
        self.dies_after = None
        self.listener = _Listener(("127.0.0.1", self.port), type("Handler", (_Handler,), {"state": self}))
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and cut every connection."""
        self.stopped.set()
        self.listener.shutdown()
        self.listener.server_close()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def logprobs(self, text: str, images: Sequence[bytes]) -> dict[str, float]:
        """Log-softmax of the model's logits."""
        logits = self.logits(text, images)
        total = log(sum(exp(value) for value in logits.values()))
        return {token: value - total for token, value in logits.items()}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut is part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: ChatServer

    def setup(self) -> None:
        super().setup()
        self.state.connections.add(self.connection)

    def finish(self) -> None:
        self.state.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not self._refused() and self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": self.state.model, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        route = _ROUTES.get(self.path)
        if route is None or (self.path in _ONLY and not _ONLY[self.path] & self.state.speaks):
            self._send(404, {"detail": "Not Found"})
        elif self.path == "/tokenize":
            self._send(200, route(self.state, body))
        else:
            self._answer(route, body)

    def _answer(self, route: Callable[[ChatServer, dict[str, Any]], Any], body: dict[str, Any]) -> None:
        state = self.state
        with state.lock:
            state.asked.append({**body, "path": self.path, "at_s": time.monotonic()})
            state.busy += 1
            state.busiest = max(state.busiest, state.busy)
            refusal = state.refusals.popleft() if state.refusals else None
            dies = state.dies_after is not None and state.dies_after <= 0
            state.dies_after = None if state.dies_after is None else state.dies_after - 1
        try:
            state.stopped.wait(state.delay_s)
            if dies:
                threading.Thread(target=state.kill, daemon=True).start()
            if dies or state.stopped.is_set():
                raise ConnectionAbortedError
            answer = refusal or route(state, body)
        finally:
            with state.lock:
                state.busy -= 1
        if isinstance(answer, Refusal):
            self._send(answer.status, {"error": {"message": answer.message}}, answer.headers)
        else:
            self._send(200, answer)

    def _refused(self) -> bool:
        if not self.state.key or self.headers.get("Authorization") == f"Bearer {self.state.key}":
            return False
        given = self.headers.get("Authorization", "nothing").removeprefix("Bearer ")
        self._send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
        return True

    def _send(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _images(parts: Sequence[Mapping[str, Any]]) -> list[bytes]:
    uris = [part["image_url"] for part in parts if "image_url" in part]
    return [_content(uri["url"] if isinstance(uri, dict) else uri) for uri in uris]


def _content(uri: str) -> bytes:
    return base64.b64decode(uri.partition("base64,")[2], validate=True)


def _length(text: str, images: Sequence[bytes]) -> int:
    """Tokens of a prompt; an image is as many as it has hundreds of bytes."""
    return len(tokenize(text)) + sum(len(image) // 100 for image in images)


def _tokenized(state: ChatServer, body: dict[str, Any]) -> Any:
    if "messages" not in body:
        texts = body["prompt"]
        return {"tokens": [tokenize(text) for text in texts] if isinstance(texts, list) else tokenize(texts)}
    text = render(body["messages"], state.system)
    if body.get("continue_final_message"):
        text = text.removesuffix("<|im_end|>\n")
    return {"tokens": tokenize(text + (GENERATION if body.get("add_generation_prompt", True) else ""))}


def _chat(state: ChatServer, body: dict[str, Any]) -> Any:
    if body["model"] != state.model:
        return Refusal(404, f"The model `{body['model']}` does not exist.")
    ours = {"logprob_token_ids", "return_tokens_as_token_ids"}
    if state.knows_only_openai and ours & set(body):
        return Refusal(400, f"Unrecognized request argument supplied: {sorted(ours & set(body))[0]}")
    if "response_format" in body:
        content, finish = state.reply
        return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}]}
    text = render(body["messages"], state.system) + GENERATION
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    images = _images(parts)
    ranked = sorted(state.logprobs(text, images).items(), key=lambda pair: -pair[1])
    as_ids = "vllm" in state.speaks and body.get("return_tokens_as_token_ids")
    listed = ranked[: body.get("top_logprobs", 0)]
    if "vllm" in state.speaks and body.get("logprob_token_ids"):
        wanted = {VOCABULARY[token] for token in body["logprob_token_ids"]}
        listed = [ranked[0], *(pair for pair in ranked if pair[0] in wanted and pair != ranked[0])]
    if not {"vllm", "openai", "sglang"} & state.speaks:
        listed = []
    entries = [
        {"token": f"token_id:{VOCABULARY.index(token)}" if as_ids else token, "logprob": max(value, -9999.0)}
        for token, value in listed
    ]
    return {
        "choices": [{"message": {"content": ranked[0][0]}, "logprobs": {"content": [{"top_logprobs": entries}]}}],
        "usage": {"prompt_tokens": _length(text, images), "completion_tokens": 1},
    }


def _generate(state: ChatServer, body: dict[str, Any]) -> Any:
    images = [_content(uri) for uri in body.get("image_data", [])]
    logprobs = state.logprobs(body["text"], images)
    rows = [[logprobs[VOCABULARY[token]], token, None] for token in body["token_ids_logprob"]]
    return {"meta_info": {"prompt_tokens": _length(body["text"], images), "output_token_ids_logprobs": [rows]}}


def _decisions(state: ChatServer, body: dict[str, Any]) -> Any:
    (message,) = body["input"]
    images = _images(message["content"])
    answers = []
    for question in body["questions"]:
        if "forbidden" in question["instructions"]:
            answers.append({"type": "refusal", "name": question["name"]})
            continue
        said = "".join(part["text"] for part in message["content"] if part["type"] == "input_text")
        parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": said + question["instructions"]}]
        logprobs = state.logprobs(render([{"role": "user", "content": parts}], state.system) + GENERATION, images)
        masses = {choice["value"]: exp(logprobs[choice["value"]]) for choice in question["choices"]}
        probs = [{"value": value, "probability": mass / sum(masses.values())} for value, mass in masses.items()]
        answers.append({"type": "choice", "name": question["name"], "probabilities": probs})
    return {"model": state.model, "answers": answers, "usage": {}}


_ROUTES: dict[str, Callable[[ChatServer, dict[str, Any]], Any]] = {
    "/tokenize": _tokenized,
    "/v1/chat/completions": _chat,
    "/generate": _generate,
    "/v1/decisions": _decisions,
}
_ONLY = {"/tokenize": {"vllm", "sglang"}, "/generate": {"sglang"}, "/v1/decisions": {"decisions"}}


def image_of(body: dict[str, Any]) -> str:
    """The data URI in a question to a server; empty in a probe."""
    content = body["messages"][-1]["content"]
    return next((part["image_url"]["url"] for part in content if part["type"] == "image_url"), "")


@contextmanager
def running_server(**state: Any) -> Iterator[ChatServer]:
    """A server at a free port of 127.0.0.1."""
    server = ChatServer(**state)
    server.start()
    try:
        yield server
    finally:
        if not server.stopped.is_set():
            server.kill()
