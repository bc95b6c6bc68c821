"""The peers of tools/soak: viewers, browsers and the other ends of sockets that keep to no rule, and honest ones
that must be served all the same. Every peer takes a function that connects it, and a random generator."""

import base64
import contextlib
import socket
import struct
import time

TIMEOUT = 10  # seconds that a peer waits for its server
HELD = 24  # connections that are kept open and silent


def unix(path):
    def connect():
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(TIMEOUT)
        end.connect(str(path))
        return end
    return connect


def tcp(port):
    return lambda: socket.create_connection(("127.0.0.1", port), TIMEOUT)


def receive(end, length):
    data = b""
    while len(data) < length:
        part = end.recv(length - len(data))
        if not part:
            raise OSError("the server closed the connection")
        data += part
    return data


# --- what they say ---

def rfb_message(random):
    """One message of a client (RFB 3.8, 7.5), mostly in its right form."""
    word = lambda: random.choice([0, 1, 16, 1023, 0x7fff, 0xffff, random.getrandbits(16)])
    kinds = [
        lambda: struct.pack(">BxxxBBBBHHHBBBxxx", 0, random.choice([8, 16, 32, 7]), random.choice([8, 16, 24]),
                            random.getrandbits(1), random.getrandbits(1), word(), word(), word(), 16, 8, 0),
        lambda: encodings([random.choice([0, 1, 2, 5, 7, 16, -223, -224, -239, -308, -312, -313, 0x574D5664])
                           for _ in range(random.randrange(12))]),
        lambda: struct.pack(">BBHHHH", 3, random.getrandbits(1), word(), word(), word(), word()),
        lambda: struct.pack(">BBHHHH", 3, 0, 0, 0, 1024, 768),
        lambda: struct.pack(">BBxxI", 4, random.getrandbits(1), random.choice([0xff1b, 0x61, random.getrandbits(32)])),
        lambda: struct.pack(">BBHH", 5, random.getrandbits(8), word(), word()),
        lambda: cut_text(random),
        lambda: struct.pack(">BBHHHH", 150, random.getrandbits(1), word(), word(), word(), word()),
        lambda: struct.pack(">BxHHBx", 251, word(), word(), random.randrange(4)) + random.randbytes(32),
        lambda: random.randbytes(random.randrange(1, 40)),
    ]
    return random.choice(kinds)()


def encodings(numbers):
    return struct.pack(">BxH", 2, len(numbers)) + b"".join(struct.pack(">i", number) for number in numbers)


def cut_text(random):
    text = random.randbytes(random.choice([0, 10, 1000, 70000]))
    length = random.choice([len(text), len(text), -len(text), 0x7fffffff, -4])
    return struct.pack(">Bxxxi", 6, length) + text


def rfb_talk(random):
    """A session as one piece, in which nothing waits for an answer."""
    start = random.choice([b"RFB 003.008\n", b"RFB 003.008\n", b"RFB 003.003\n", b"RFB 003.007\n", random.randbytes(12)])
    security = random.choice([b"\x01", b"\x01", b"\x02" + random.randbytes(16), b"\x10", b"\x13"])
    return start + security + b"\x01" + b"".join(rfb_message(random) for _ in range(random.randrange(30)))


def frame(random, data, opcode=2):
    """A masked WebSocket frame (RFC 6455, 5.2), now and then one that lies."""
    first = random.choice([0x80 | opcode] * 12 + [opcode, 0x80 | random.randrange(16), 0xf0 | opcode])
    length = random.choice([len(data)] * 12 + [0, 1 << 20, 1 << 62])
    mask = random.randbytes(4)
    head = bytes([first]) + (bytes([0x80 | length]) if length < 126 else
                             struct.pack(">BH", 0xfe, length) if length < 65536 else struct.pack(">BQ", 0xff, length))
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def web_talk(random):
    paths = ["/", "/websockify", "/vnc.html", "/novnc/core/rfb.js", "/../../etc/passwd", "/%00", "/" + "a" * 9000]
    head = (f"{random.choice(['GET', 'GET', 'GET', 'HEAD', 'POST', 'X' * 300])} {random.choice(paths)} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n").encode()
    if random.random() < 0.6:
        key = base64.b64encode(random.randbytes(random.choice([16, 16, 3]))).decode()
        head = (f"GET /websockify HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {random.choice([13, 13, 8])}\r\n"
                f"Sec-WebSocket-Protocol: binary\r\n").encode()
    for _ in range(random.choice([0, 0, 1, 200])):
        head += b"X: " + random.randbytes(8).hex().encode() * random.choice([1, 1, 600]) + b"\r\n"
    talk = head + b"\r\n"
    if b"Upgrade" in head:
        rest = rfb_talk(random)
        while rest:
            some = random.randrange(1, 400)
            talk += frame(random, rest[:some], random.choice([2] * 8 + [0, 1, 8, 9, 10]))
            rest = rest[some:]
    return talk * random.choice([1, 1, 1, 40])


def net_talk(random):
    """Frames of a stream network: a length of four bytes before each."""
    talk = b""
    for _ in range(random.randrange(1, 30)):
        data = b"\xff" * 6 + random.randbytes(random.randrange(1600))
        talk += struct.pack(">I", random.choice([len(data)] * 12 + [0, 1, 1 << 31, 0xffffffff])) + data
    return talk


def noise(random):
    return random.randbytes(random.choice([1, 100, 5000, 200000]))


# --- how they behave ---

class Crowd:
    """Hostile peers of one server, one act at a time; some connections stay open between two acts."""

    def __init__(self, connect, talk, random):
        self.connect, self.talk, self.random = connect, talk, random
        self.held = []
        self.acts = [self.cut, self.cut, self.cut_short, self.hold, self.flood, self.do_not_read, self.scramble]

    def act(self):
        with contextlib.suppress(OSError):
            self.random.choice(self.acts)()

    def leave(self):
        for end in self.held:
            end.close()
        self.held = []

    def go(self, end):
        """The connection ends, or its process does."""
        if self.random.getrandbits(1):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()

    def send(self, end, data):
        """False when the other end is gone, or takes nothing."""
        end.settimeout(0.3)
        try:
            end.sendall(data)
        except OSError:
            return False
        return True

    def cut(self):
        end = self.connect()
        data = self.talk(self.random)
        self.send(end, data[:self.random.randrange(len(data) + 1)])
        time.sleep(self.random.choice([0, 0, 0.01, 0.05]))
        self.go(end)

    def cut_short(self):
        """Every byte of the beginning is the last one some day."""
        end = self.connect()
        self.send(end, self.talk(self.random)[:self.random.randrange(40)])
        self.go(end)

    def hold(self):
        end = self.connect()
        self.send(end, self.talk(self.random)[:self.random.randrange(60)])
        self.held.append(end)
        if len(self.held) > HELD:
            self.go(self.held.pop(self.random.randrange(len(self.held))))

    def flood(self):
        end = self.connect()
        self.send(end, b"".join(self.talk(self.random) for _ in range(self.random.randrange(2, 60))))
        self.go(end)

    def do_not_read(self):
        end = self.connect()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(self.random.randrange(1, 6)):
            self.send(end, self.talk(self.random))
            time.sleep(self.random.choice([0, 0.02]))
        self.go(end)

    def scramble(self):
        end = self.connect()
        data = bytearray(self.talk(self.random))
        for _ in range(self.random.randrange(1, 12)):
            data[self.random.randrange(len(data))] = self.random.getrandbits(8)
        while data:
            some = self.random.randrange(1, 200)
            if not self.send(end, bytes(data[:some])):
                break
            del data[:some * self.random.choice([1, 1, 8])]
        self.go(end)


class Viewer(Crowd):
    """The same for viewers, who also go on from a handshake that was answered."""

    def __init__(self, connect, random):
        super().__init__(connect, rfb_talk, random)
        self.acts += [self.session, self.session, self.full_updates]

    def session(self):
        end = open_viewer(self.connect)
        for _ in range(self.random.randrange(60)):
            if not self.send(end, rfb_message(self.random)):
                break
            if self.random.random() < 0.2:
                end.recv(1 << 16)
        self.go(end)

    def full_updates(self):
        """Pictures that nobody takes, and a message that ends the session while one is half sent."""
        end = open_viewer(self.connect)
        self.send(end, encodings([0, -224]) + struct.pack(">BBHHHH", 3, 0, 0, 0, 1024, 768) * 4)
        time.sleep(self.random.choice([0.02, 0.05]))
        self.send(end, b"\x4d")
        self.go(end)


# --- honest ones ---

def open_viewer(connect):
    end = connect()
    receive(end, 12)
    end.sendall(b"RFB 003.008\n")
    kinds = receive(end, receive(end, 1)[0])
    if 1 not in kinds:
        raise OSError("the server wants a password")
    end.sendall(b"\x01")
    if receive(end, 4) != bytes(4):
        raise OSError("the server refuses")
    end.sendall(b"\x01")
    head = receive(end, 24)
    receive(end, struct.unpack(">I", head[20:])[0])
    return end


def sees_a_picture(connect):
    with open_viewer(connect) as end:
        end.sendall(encodings([0]) + struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16))
        return receive(end, 1) == b"\x00"


def gets_a_page(connect):
    with connect() as end:
        end.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return receive(end, 9) == b"HTTP/1.1 "


def hears_something(connect):
    with connect() as end:
        return len(receive(end, 1)) == 1
