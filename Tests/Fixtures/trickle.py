"""A way to a server that hands over the length of each of the server's messages byte by byte.

Usage: trickle.py HOST:PORT; prints the port that it listens to, on 127.0.0.1.
"""

import socket
import struct
import sys
import threading
import time


def receive(source, count):
    data = b""
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def to_server(client, server):
    try:
        while data := client.recv(1 << 16):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def to_client(server, client):
    try:
        while True:
            head = receive(server, 4)
            for byte in head:
                client.sendall(bytes([byte]))
                time.sleep(0.002)
            left = struct.unpack("<i", head)[0] - 4
            while left > 0:
                data = server.recv(min(left, 1 << 16))
                if not data:
                    raise EOFError
                client.sendall(data)
                left -= len(data)
    except (EOFError, OSError):
        client.close()


host, port = sys.argv[1].rsplit(":", 1)
listener = socket.create_server(("127.0.0.1", 0))
print(f"port {listener.getsockname()[1]}.", flush=True)
while True:
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = socket.create_connection((host, int(port)))
    threading.Thread(target=to_server, args=(client, server), daemon=True).start()
    threading.Thread(target=to_client, args=(server, client), daemon=True).start()
