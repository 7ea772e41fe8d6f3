"""A model server for tests: Chat Completions, Responses and Messages on one port. Refuses what the vendors' own SDKs
would not send: every body is checked against the types of their parameters. What it answers depends on the last
thing it was told; every body is kept for the test to look at. A process of its own: see `Upstream`."""

import functools
import http.server
import json
import pathlib
import re
import subprocess
import sys
import typing
import urllib.request

# Checked to the bottom, not lazily, and before the SDKs build their types from it.
if __name__ == "__main__":
    typing.Iterable = typing.List

import pydantic
from anthropic.types import beta, message_count_tokens_params, message_create_params
from openai.types import embedding_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

ARGUMENTS = {"city": "Paris"}
JSON_TEXT = '{"answer": 42}'
THOUGHT = "I should think."
SIGNATURE = "c2lnbmF0dXJl"
ENCRYPTED = "ZW5jcnlwdGVk"
USAGE = {"input": 20, "cached": 8, "output": 6}

SHAPES = {
    "/v1/chat/completions": completion_create_params.CompletionCreateParamsStreaming,
    "/v1/responses": response_create_params.ResponseCreateParamsStreaming,
    "/v1/messages": message_create_params.MessageCreateParamsStreaming,
    "/v1/messages/count_tokens": message_count_tokens_params.MessageCountTokensParams,
    "/v1/embeddings": embedding_create_params.EmbeddingCreateParams,
}


# What real clients say beyond the SDK's types, and the vendor takes.
BEYOND = {"/v1/responses": {"client_metadata"}}

# What a request may say that names a beta in its headers.
BETA = {"/v1/messages": beta.message_create_params.MessageCreateParamsStreaming}


@functools.cache
def adapter(shape):
    return pydantic.TypeAdapter(shape)


def plain(item):
    """A thought whose content Codex sends as null, as the vendor takes it."""
    is_null = isinstance(item, dict) and item.get("type") == "reasoning" and item.get("content", 0) is None
    return {name: value for name, value in item.items() if name != "content"} if is_null else item


def check(path, body, headers):
    """What is wrong with a body, or None."""
    is_beta = any(name.lower() == "anthropic-beta" for name in headers)
    shape = BETA.get(path, SHAPES[path]) if is_beta else SHAPES[path]
    body = {name: value for name, value in body.items() if name not in BEYOND.get(path, ())}
    unknown = set(body) - set(typing.get_type_hints(shape))
    if unknown:
        return f"unknown parameters {sorted(unknown)}"
    if isinstance(body.get("input"), list):
        body["input"] = [plain(item) for item in body["input"]]
    if path != "/v1/embeddings" and not path.endswith("count_tokens"):
        body["stream"] = True
    try:
        adapter(shape).validate_python(body)
    except pydantic.ValidationError as wrong:
        return str(wrong)
    return None


def last_said(path, body):
    """The last text and whether the last thing said is a tool's result; and all pictures."""
    if path == "/v1/responses":
        items = body["input"]
        if isinstance(items, str):
            return items, False, []
    else:
        items = body["messages"]
    text, is_result, pictures = "", False, []
    for item in items:
        kind = item.get("type", "message")
        content = item.get("content")
        if kind == "function_call_output" or item.get("role") == "tool":
            is_result = True
            continue
        if kind != "message" and "role" not in item:
            continue
        if item.get("role") != "user":
            continue
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        is_result = any(part["type"] == "tool_result" for part in parts)
        for part in parts:
            if part["type"] in ("text", "input_text"):
                text = part["text"]
            if part["type"] in ("image", "input_image", "image_url"):
                pictures.append(part)
    return text, is_result, pictures


# How a test makes a real client's model call a tool of that client.
ORDER = re.compile(r"call (\w+) with (\{[^{}]*\})")


def ordered(path, body):
    """The call that the user told the model to make, if the tool is among those offered: (name, arguments)."""
    items = body["input" if path == "/v1/responses" else "messages"]
    said = [item.get("content") for item in items if item.get("role") == "user"] if isinstance(items, list) else [items]
    texts = [part.get("text", "") for parts in said if not isinstance(parts, str) for part in parts]
    orders = ORDER.findall("\n".join([*(text for text in said if isinstance(text, str)), *texts]))
    offered = json.dumps(body.get("tools", []))
    if not orders or f'"name": "{orders[-1][0]}"' not in offered:
        return None
    return orders[-1][0], json.loads(orders[-1][1])


def plan(path, body):
    """What is answered: a list of ("text" | "thought" | "call", value)."""
    text, is_result, pictures = last_said(path, body)
    order = ordered(path, body)
    if order and is_result:
        return [("text", "It is done.")]
    if order and ORDER.search(text):
        return [("thought", THOUGHT), ("call", order)]
    if pictures:
        return [("text", f"I see {len(pictures)} picture.")]
    if "weather" in text and is_result:
        return [("text", "It is sunny.")]
    if "weather" in text:
        return [("call", ("get_weather", ARGUMENTS))]
    if "think" in text:
        return [("thought", THOUGHT), ("text", "42")]
    if "as json" in text:
        return [("text", JSON_TEXT)]
    return [("text", f"You said: {text}")]


def pieces(text):
    return [text[i : i + 5] for i in range(0, len(text), 5)]


def chat(body, parts):
    base = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": "up-model", "novel": "kept"}
    calls = 0

    def chunk(delta, finish=None):
        return {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    frames = [chunk({"role": "assistant", "content": ""})]
    for kind, value in parts:
        if kind == "text":
            frames += [chunk({"content": piece}) for piece in pieces(value)]
        elif kind == "thought":
            frames += [chunk({"reasoning_content": piece}) for piece in pieces(value)]
        else:
            name, arguments = value
            start = {"index": calls, "id": f"call_up{calls}", "type": "function"}
            frames.append(chunk({"tool_calls": [{**start, "function": {"name": name, "arguments": ""}}]}))
            for piece in pieces(json.dumps(arguments)):
                frames.append(chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}))
            calls += 1
    frames.append(chunk({}, "tool_calls" if calls else "stop"))
    usage = {
        "prompt_tokens": USAGE["input"],
        "completion_tokens": USAGE["output"],
        "total_tokens": USAGE["input"] + USAGE["output"],
        "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
    }
    if body.get("stream"):
        if body.get("stream_options", {}).get("include_usage"):
            frames.append({**base, "choices": [], "usage": usage})
        return [f"data: {json.dumps(frame)}\n\n" for frame in frames] + ["data: [DONE]\n\n"]
    message = {"role": "assistant", "content": None, "refusal": None}
    for kind, value in parts:
        if kind == "text":
            message["content"] = value
        elif kind == "thought":
            message["reasoning_content"] = value
        else:
            function = {"name": value[0], "arguments": json.dumps(value[1])}
            message["tool_calls"] = [{"id": "call_up0", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
    return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}


def messages(body, parts):
    usage = {
        "input_tokens": USAGE["input"] - USAGE["cached"],
        "cache_read_input_tokens": USAGE["cached"],
        "cache_creation_input_tokens": 0,
        "output_tokens": USAGE["output"],
    }
    message = {
        "id": "msg_up", "type": "message", "role": "assistant", "model": "up-model", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage, "novel": "kept",
    }  # fmt: skip
    blocks, frames = [], [{"type": "message_start", "message": dict(message)}, {"type": "ping"}]
    for index, (kind, value) in enumerate(parts):
        if kind == "text":
            block = {"type": "text", "text": value}
            start, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(value)]
        elif kind == "thought":
            block = {"type": "thinking", "thinking": value, "signature": SIGNATURE}
            start = {**block, "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(value)]
            deltas.append({"type": "signature_delta", "signature": SIGNATURE})
        else:
            name, arguments = value
            block = {"type": "tool_use", "id": f"toolu_up{index}", "name": name, "input": arguments}
            start = {**block, "input": {}}
            parts_of = pieces(json.dumps(arguments))
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in parts_of]
        blocks.append(block)
        frames.append({"type": "content_block_start", "index": index, "content_block": start})
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames.append({"type": "content_block_stop", "index": index})
    stop = "tool_use" if blocks and blocks[-1]["type"] == "tool_use" else "end_turn"
    if body.get("stream"):
        delta = {"stop_reason": stop, "stop_sequence": None}
        frames.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": USAGE["output"]}})
        frames.append({"type": "message_stop"})
        return [f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n" for frame in frames]
    return {**message, "content": blocks, "stop_reason": stop}


def responses(body, parts):
    usage = {
        "input_tokens": USAGE["input"],
        "input_tokens_details": {"cached_tokens": USAGE["cached"]},
        "output_tokens": USAGE["output"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": USAGE["input"] + USAGE["output"],
    }
    response = {
        "id": "resp_up", "object": "response", "created_at": 1, "status": "in_progress", "model": "up-model",
        "output": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
        "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [],
        "usage": None, "novel": "kept",
    }  # fmt: skip
    frames, output = [], []

    def send(kind, **fields):
        frames.append({"type": kind, "sequence_number": len(frames), **fields})

    send("response.created", response=dict(response))
    send("response.in_progress", response=dict(response))
    for index, (kind, value) in enumerate(parts):
        at = {"output_index": index}
        if kind == "text":
            item = {"id": f"msg_up{index}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
            send("response.output_item.added", item=dict(item), **at)
            at.update(item_id=item["id"], content_index=0)
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            send("response.content_part.added", part=dict(part), **at)
            for piece in pieces(value):
                send("response.output_text.delta", delta=piece, logprobs=[], **at)
            send("response.output_text.done", text=value, logprobs=[], **at)
            part["text"] = value
            send("response.content_part.done", part=part, **at)
            item.update(status="completed", content=[part])
        elif kind == "thought":
            item = {"id": f"rs_up{index}", "type": "reasoning", "summary": [], "encrypted_content": ENCRYPTED}
            send("response.output_item.added", item={**item, "encrypted_content": None}, **at)
            where = {"item_id": item["id"], "summary_index": 0, **at}
            send("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}, **where)
            for piece in pieces(value):
                send("response.reasoning_summary_text.delta", delta=piece, **where)
            send("response.reasoning_summary_text.done", text=value, **where)
            part = {"type": "summary_text", "text": value}
            send("response.reasoning_summary_part.done", part=part, **where)
            item["summary"] = [part]
        else:
            name, arguments = value
            item = {
                "id": f"fc_up{index}", "type": "function_call", "call_id": f"call_up{index}", "name": name,
                "arguments": "", "status": "in_progress",
            }  # fmt: skip
            send("response.output_item.added", item=dict(item), **at)
            for piece in pieces(json.dumps(arguments)):
                send("response.function_call_arguments.delta", item_id=item["id"], delta=piece, **at)
            item.update(arguments=json.dumps(arguments), status="completed")
            send("response.function_call_arguments.done", item_id=item["id"], arguments=item["arguments"], **at)
        send("response.output_item.done", item=item, output_index=index)
        output.append(item)
    response.update(status="completed", output=output, usage=usage)
    if body.get("stream"):
        send("response.completed", response=response)
        return [f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n" for frame in frames]
    return response


WRITERS = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        """What was seen and found wrong since the last time."""
        seen, wrong = SEEN[:], WRONG[:]
        del SEEN[:], WRONG[:]
        self.answer(200, {"seen": seen, "wrong": wrong})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0]
        if path not in SHAPES:
            return self.answer(404, {"error": {"message": f"no {path}", "type": "not_found_error"}})
        SEEN.append((path, body, dict(self.headers)))
        wrong = check(path, body, self.headers)
        if wrong:
            WRONG.append((path, wrong, body))
            return self.answer(400, {"error": {"message": wrong, "type": "invalid_request_error"}})
        if path.endswith("count_tokens"):
            return self.answer(200, {"input_tokens": 11})
        if path == "/v1/embeddings":
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [
                {"object": "embedding", "index": index, "embedding": [float(len(text)), 0.5]}
                for index, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            return self.answer(200, {"object": "list", "data": data, "model": "up-model", "usage": usage})
        made = WRITERS[path](body, plan(path, body))
        if isinstance(made, dict):
            return self.answer(200, made)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for frame in made:
            data = frame.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


SEEN, WRONG = [], []
FAMILIES = ["openai-chat", "openai-responses", "anthropic"]


def place(server, url, secret="an-upstream-key"):
    """Adds one model for each family, all served from `url`, to a server that has not started."""
    key = server.config.parent / "upstream.key"
    key.write_text(secret)
    for family in FAMILIES:
        base = url if family == "anthropic" else f"{url}/v1"
        server.config.write_text(
            server.config.read_text()
            + f'\n[[provider]]\nname = "{family}"\nkind = "{family}"\nbase_url = "{base}"\n'
            + f'api_key = {{ file = "{key}" }}\n[[deployment]]\nmodel = "via-{family}"\nprovider = "{family}"\n'
            + 'upstream_model = "up-model"\n'
        )


class Upstream:
    """The server in its process. `look` tells what it saw since the last look."""

    def __init__(self):
        command = [sys.executable, pathlib.Path(__file__)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def look(self):
        """(requests as (path, body, headers), what no SDK would have sent)."""
        with urllib.request.urlopen(self.url, timeout=30) as reply:
            found = json.load(reply)
        return found["seen"], found["wrong"]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
