#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-net and e1000 with user networking: a download from the host arrives unharmed."""

import hashlib
import http.server
import random
import threading

import e2e

SIZE = 20 << 20
SCRIPT = """
load virtio_pci virtio_net e1000
fetch()
{
	ip link set $1 up
	ip addr add 10.0.2.15/24 dev $1
	wget -q -O /tmp/file http://10.0.2.2:PORT/file
	result $1=$(basename $(readlink /sys/class/net/$1/device/driver))
	result $1.sum=$(sha256sum </tmp/file | cut -d' ' -f1)
	rm /tmp/file
	ip addr del 10.0.2.15/24 dev $1
	ip link set $1 down
}
fetch eth0
fetch eth1
"""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def download():
    content = random.Random(2).randbytes(SIZE)
    with Server(content) as server:
        with e2e.Guest("-netdev", "user,id=a", "-device", "virtio-net-pci,netdev=a",
                       "-netdev", "user,id=b", "-device", "e1000,netdev=b", nic=True, smp=2,
                       script=SCRIPT.replace("PORT", str(server.server_port))) as guest:
            found = guest.finish()
        server.shutdown()
    e2e.check_equal(found["eth0"], "virtio_net", "driver of eth0")
    e2e.check_equal(found["eth1"], "e1000", "driver of eth1")
    for nic in ("eth0", "eth1"):
        e2e.check_equal(found[f"{nic}.sum"], hashlib.sha256(content).hexdigest(),
                        f"download through {found[nic]}")


e2e.main({"download": download})
