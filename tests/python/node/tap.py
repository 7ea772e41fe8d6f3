"""A port that passes bytes on to the server and notes how each connection began: whether a client spoke HTTP or opened
a socket is nowhere else to be seen."""

import socket
import threading
import urllib.parse


class Tap:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.to = (parts.hostname, parts.port)
        self.began = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            upstream = socket.create_connection(self.to)
            threading.Thread(target=self._copy, args=(client, upstream, self.began), daemon=True).start()
            threading.Thread(target=self._copy, args=(upstream, client, []), daemon=True).start()

    @staticmethod
    def _copy(source, target, began):
        is_first = True
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if is_first:
                    began.append(data.split(b"\r\n")[0].decode())
                is_first = False
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()
