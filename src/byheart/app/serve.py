"""`byheart serve`: a language model and an embedder behind the OpenAI protocol, on this machine.

Serves `/v1/models`, `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`. Also speaks the
`prompt_logprobs` and `continue_final_message` fields of vLLM, so that what it serves can be scored.
Streaming and alternatives per token (`top_logprobs`) are refused, not ignored.
"""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from byheart.core.protocols import Embedder, Prompt
    from byheart.models.lm import LanguageModel


class Refusal(Exception):
    """A request that cannot be served, in the protocol's own error shape."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class Message(BaseModel):
    """One message of a chat."""

    role: str
    content: str


class Sampling(BaseModel):
    """What both kinds of completion take."""

    model: str
    max_tokens: int | None = Field(None, ge=0)
    temperature: float = Field(1.0, ge=0, le=2)
    n: int = Field(1, ge=1, le=128)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False


class ChatRequest(Sampling):
    """Body of `/v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool = False
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False


class TextRequest(Sampling):
    """Body of `/v1/completions`."""

    prompt: str | list[str]
    logprobs: int | None = Field(None, ge=0)
    echo: bool = False


class EmbeddingRequest(BaseModel):
    """Body of `/v1/embeddings`."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"


class Piece(BaseModel):
    """One continuation: its text, its tokens as text, their log-probabilities, and why it ended."""

    text: str
    tokens: list[str]
    logprobs: list[float | None]
    offsets: list[int] = []
    finish: Literal["stop", "length"]


class Server:
    """What the routes do, one request at a time."""

    def __init__(self, model: LanguageModel, embedder: Embedder | None, key: str | None) -> None:
        self.lm = model
        self.embedder = embedder
        self.key = key
        self.lock = Lock()
        self.names = [model.name, *([getattr(embedder, "name", "embedder")] if embedder else [])]

    def check(self, name: str, wanted: str) -> None:
        """Refuse a model name that is not the one served for this."""
        if name != wanted:
            raise Refusal(404, f"the model {name!r} is not served here; served: {self.names}", "model_not_found")

    def prompt(self, request: ChatRequest) -> list[int]:
        """The tokens of a chat; with `continue_final_message` the last message is left open."""
        messages: Prompt = [m.model_dump() for m in request.messages]
        if not request.continue_final_message:
            return self.lm.tokens(messages)
        if request.messages[-1].role != "assistant":
            raise Refusal(400, "continue_final_message needs a last message of the assistant", "invalid_value")
        tail = self.lm.tokenizer(request.messages[-1].content, add_special_tokens=False)["input_ids"]
        return [*self.lm.tokens(messages[:-1]), *tail]  # type: ignore[index]

    def write(self, ids: list[int], request: Sampling, limit: int) -> list[Piece]:
        """Sample `request.n` continuations of one prompt."""
        import torch

        from byheart.kit.sample import sample

        room = getattr(self.lm.model.config, "max_position_embeddings", 1 << 30) - len(ids)
        if room < limit:
            raise Refusal(
                400, f"{len(ids)} prompt tokens leave room for {room}, not {limit}", "context_length_exceeded"
            )
        if limit == 0:
            return [Piece(text="", tokens=[], logprobs=[], finish="length") for _ in range(request.n)]
        seed = request.seed if request.seed is not None else time.time_ns()
        with self.lock:
            tokens, scores = sample(
                self.lm.model,
                [ids],
                max_tokens=limit,
                temperature=request.temperature,
                stop=self.lm.stop,
                copies=request.n,
                pad=self.lm.tokenizer.pad_token_id or 0,
                generator=torch.Generator().manual_seed(seed % (1 << 63)),
            )
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        return [self.piece(t, s, limit, stops) for t, s in zip(tokens, scores, strict=True)]

    def piece(self, ids: list[int], scores: list[float], limit: int, stops: list[str]) -> Piece:
        """Decode a continuation and cut it before the first stop text."""
        decode = self.lm.tokenizer.decode
        text = decode(ids, skip_special_tokens=True)
        finish: Literal["stop", "length"] = "length" if len(ids) >= limit else "stop"
        at = min((i for i in (text.find(s) for s in stops if s) if i >= 0), default=-1)
        if at >= 0:
            text, finish = text[:at], "stop"
            while ids and len(decode(ids[:-1], skip_special_tokens=True)) >= at:
                ids = ids[:-1]
        tokens = [decode([t]) for t in ids]
        offsets = [sum(len(t) for t in tokens[:i]) for i in range(len(tokens))]
        return Piece(text=text, tokens=tokens, logprobs=[*scores[: len(ids)]], offsets=offsets, finish=finish)

    def read(self, ids: list[int]) -> list[float | None]:
        """The log-probability of each token given those before it; None for the first."""
        import torch

        if len(ids) < 2:
            return [None for _ in ids]
        row = torch.tensor([ids], device=self.lm.device)
        inputs = {"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)}
        with self.lock, torch.inference_mode():
            return [None, *(-self.lm.reader(inputs).losses()).tolist()]

    def chat(self, request: ChatRequest) -> dict[str, Any]:
        """Answer `/v1/chat/completions`."""
        self.check(request.model, self.lm.name)
        if request.top_logprobs:
            raise Refusal(400, "top_logprobs is not served; logprobs gives the chosen tokens'", "unsupported_value")
        ids = self.prompt(request)
        limit = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
        pieces = self.write(ids, request, 256 if limit is None else limit)
        reply = self.reply("chat.completion", "chatcmpl", len(ids), pieces)
        reply["choices"] = [
            {
                "index": i,
                "message": {"role": "assistant", "content": p.text},
                "logprobs": {"content": [_token(t, v) for t, v in zip(p.tokens, p.logprobs, strict=True)]}
                if request.logprobs
                else None,
                "finish_reason": p.finish,
            }
            for i, p in enumerate(pieces)
        ]
        if request.prompt_logprobs is not None:
            decode = self.lm.tokenizer.decode
            reply["prompt_logprobs"] = [
                None if v is None else {str(t): {"logprob": v, "rank": None, "decoded_token": decode([t])}}
                for t, v in zip(ids, self.read(ids), strict=True)
            ]
        return reply

    def text(self, request: TextRequest) -> dict[str, Any]:
        """Answer `/v1/completions`."""
        self.check(request.model, self.lm.name)
        prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
        limit = 16 if request.max_tokens is None else request.max_tokens
        pieces, used = [], 0
        for prompt in prompts:
            ids = self.lm.tokens(prompt) or [self.lm.start]
            used += len(ids)
            choices = self.write(ids, request, limit)
            if request.echo:
                whole = self.echo(prompt, ids, request.logprobs is not None)
                choices = [_join(whole, p) for p in choices]
            pieces += choices
        reply = self.reply("text_completion", "cmpl", used, pieces)
        reply["choices"] = [
            {
                "index": i,
                "text": p.text,
                "logprobs": _legacy(p) if request.logprobs is not None else None,
                "finish_reason": p.finish,
            }
            for i, p in enumerate(pieces)
        ]
        return reply

    def echo(self, prompt: str, ids: list[int], scored: bool) -> Piece:
        """The prompt itself as a piece, with the place of each token in it."""
        spans = self.lm.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"] or [(0, 0)]
        tokens = [self.lm.tokenizer.decode([t]) for t in ids]
        values: list[float | None] = self.read(ids) if scored else [None] * len(ids)
        return Piece(text=prompt, tokens=tokens, logprobs=values, offsets=[a for a, _ in spans], finish="length")

    def reply(self, kind: str, prefix: str, prompt: int, pieces: list[Piece]) -> dict[str, Any]:
        """What every completion's reply holds."""
        written = sum(len(p.tokens) for p in pieces)
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.lm.name,
            "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
        }

    def embed(self, request: EmbeddingRequest) -> dict[str, Any]:
        """Answer `/v1/embeddings`."""
        if self.embedder is None:
            raise Refusal(404, "no embedder is served; start with --embedder minilm", "model_not_found")
        self.check(request.model, self.names[1])
        texts = [request.input] if isinstance(request.input, str) else request.input
        with self.lock:
            vectors = self.embedder.encode(texts)
        whole = request.encoding_format == "base64"
        rows = [base64.b64encode(v.astype("<f4").tobytes()).decode() if whole else v.tolist() for v in vectors]
        words = sum(len(t.split()) for t in texts)
        return {
            "object": "list",
            "model": request.model,
            "data": [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)],
            "usage": {"prompt_tokens": words, "total_tokens": words},
        }


def _token(text: str, value: float | None) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}


def _join(prompt: Piece, written: Piece) -> Piece:
    """A prompt and its continuation as one piece."""
    return Piece(
        text=prompt.text + written.text,
        tokens=prompt.tokens + written.tokens,
        logprobs=prompt.logprobs + written.logprobs,
        offsets=prompt.offsets + [len(prompt.text) + o for o in written.offsets],
        finish=written.finish,
    )


def _legacy(piece: Piece) -> dict[str, Any]:
    return {
        "tokens": piece.tokens,
        "token_logprobs": piece.logprobs,
        "text_offset": piece.offsets,
        "top_logprobs": None,
    }


def build(model: LanguageModel, embedder: Embedder | None = None, key: str | None = None) -> FastAPI:
    """The application that serves these; with a `key`, requests must carry it as a bearer token."""
    from byheart import __version__

    server = Server(model, embedder, key)
    app = FastAPI(title="byheart", version=__version__)

    @app.exception_handler(Refusal)
    def refuse(_: Request, error: Refusal) -> JSONResponse:
        return _error(error.status, str(error), error.code, error.param)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"] if p != "body")
        return _error(400, f"{where}: {first['msg']}", "invalid_request", where or None)

    @app.middleware("http")
    async def admit(request: Request, call_next: Any) -> Any:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key and not hmac.compare_digest(given.encode(), key.encode()):
            return _error(401, "the key is missing or wrong; send Authorization: Bearer KEY", "invalid_api_key")
        return await call_next(request)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": n, "object": "model", "owned_by": "byheart"} for n in server.names]}

    @app.post("/v1/chat/completions")
    def chat(request: ChatRequest) -> dict[str, Any]:
        _whole(request)
        return server.chat(request)

    @app.post("/v1/completions")
    def text(request: TextRequest) -> dict[str, Any]:
        _whole(request)
        return server.text(request)

    @app.post("/v1/embeddings")
    def embed(request: EmbeddingRequest) -> dict[str, Any]:
        return server.embed(request)

    return app


def _whole(request: Sampling) -> None:
    if request.stream:
        raise Refusal(400, "streaming is not served; send stream=false", "unsupported_value", "stream")


def _error(status: int, message: str, code: str, param: str | None = None) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def run(model: str, embedder: str | None, host: str, port: int, key: str | None) -> None:
    """Load the models and serve until interrupted."""
    import uvicorn

    from byheart.models import load, load_embedder

    app = build(load(model), load_embedder(embedder) if embedder else None, key)
    uvicorn.run(app, host=host, port=port, log_level="warning")
