"""An MCP server that writes down what it did, by idempotency key, before it answers. Run it with the port and the file.

It speaks 2025-11-25 over streamable HTTP. `pay` and `refund` do something each time they are called; `look` changes
nothing. With `slow` in the arguments a call takes that many seconds after it was done."""

import http.server
import json
import os
import sys
import threading
import time

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}, "slow": {"type": "number"}}}
TOOLS = [
    {"name": "pay", "description": "Pays.", "inputSchema": SCHEMA},
    {"name": "refund", "description": "Pays back.", "inputSchema": SCHEMA, "annotations": {"idempotentHint": True}},
    {"name": "look", "description": "Looks.", "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}},
    {"name": "fails", "description": "Fails.", "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}},
]


class Ledger:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()

    def write(self, entry):
        with self.lock, open(self.path, "a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(405, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, number = body.get("method"), body.get("id")
        if method == "initialize":
            info = {"name": "till", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            result = {"tools": TOOLS}
        elif method == "tools/call":
            result = self.call(body["params"])
        elif number is None:
            return self.answer(202, b"")
        else:
            error = {"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "no such method"}}
            return self.answer(200, json.dumps(error).encode())
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode())

    def call(self, params):
        arguments = params.get("arguments") or {}
        key = self.headers.get("idempotency-key")
        assert key == params["_meta"]["mainstay/idempotency_key"]
        self.server.ledger.write({"tool": params["name"], "key": key, "arguments": arguments})
        time.sleep(arguments.get("slow", 0))
        if params["name"] == "fails":
            return {"content": [{"type": "text", "text": "no money"}], "isError": True}
        return {"content": [{"type": "text", "text": f"{params['name']} done"}]}

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            pass

    def log_message(self, *_):
        pass


def serve(port, path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.ledger = Ledger(path)
    return server


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2]).serve_forever()
