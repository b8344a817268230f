"""A receiver of audit events over HTTPS, for tests: any OCSF ingest at /ocsf, Elasticsearch at /_bulk, Splunk at /services/collector.

Whatever it takes it writes to a file, one line of JSON each, with the door it came by. What is in the file named by --mode says how
it behaves: empty or absent, it takes what comes; `503` and `400` are answered; `drop` takes the batch and never answers, the worst
case of an outage. Standard library only.
"""

import argparse
import http.server
import json
import os
import ssl
import threading


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    documents = set()
    acks = {}
    lock = threading.Lock()

    def mode(self):
        try:
            with open(self.server.mode) as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def keep(self, door, events):
        with self.lock, open(self.server.out, "a") as file:
            for event in events:
                file.write(json.dumps({"door": door, **event}) + "\n")
            file.flush()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        mode = self.mode()
        if mode in ("503", "400"):
            return self.answer(int(mode), {"error": "told to"})
        path = self.path.partition("?")[0]
        answers = {
            "/ocsf": self.ocsf,
            "/_bulk": self.bulk,
            "/services/collector/event": self.collector,
            "/services/collector/ack": self.ack,
        }
        if path not in answers:
            return self.answer(404, {"error": "no such door"})
        status, answer = answers[path](body)
        if mode == "drop" and path != "/services/collector/ack":
            # Taken, and nobody is told.
            self.close_connection = True
            return self.connection.close()
        return self.answer(status, answer)

    def wants(self, scheme):
        return self.headers.get("Authorization") == f"{scheme} {self.server.token}"

    def ocsf(self, body):
        if not self.wants("Bearer"):
            return 401, {"error": "token"}
        events = json.loads(body)
        self.keep("ocsf", [
            {"id": one["metadata"]["uid"], "type": one["metadata"]["event_code"], "index": one["metadata"]["sequence"],
             "log": one["metadata"]["log_name"], "core": one["raw_data"],
             "leaf_hash": one["unmapped"]["chancery"]["leaf_hash"], "class_uid": one["class_uid"]}
            for one in events
        ])
        return 200, {"taken": len(events)}

    def bulk(self, body):
        if not self.wants("ApiKey"):
            return 401, {"error": "token"}
        lines = [json.loads(line) for line in body.splitlines()]
        items, new = [], []
        with self.lock:
            for action, document in zip(lines[::2], lines[1::2]):
                name = action["create"]["_id"]
                known = name in self.documents
                self.documents.add(name)
                items.append({"create": {"_id": name, "status": 409 if known else 201}})
                if not known:
                    new.append(document)
        self.keep("elasticsearch", [
            {"id": one["event"]["id"], "type": one["event"]["action"], "index": one["event"]["sequence"],
             "log": one["event"]["provider"], "core": one["event"]["original"], "leaf_hash": one["event"]["hash"]}
            for one in new
        ])
        return 200, {"errors": any(item["create"]["status"] != 201 for item in items), "items": items}

    def collector(self, body):
        if not self.wants("Splunk"):
            return 403, {"text": "Invalid token", "code": 4}
        text, decoder, events = body.decode(), json.JSONDecoder(), []
        while text:
            one, end = decoder.raw_decode(text)
            events.append(one)
            text = text[end:]
        self.keep("splunk", [
            {"id": one["event"]["event_id"], "type": one["event"]["type"], "index": one["event"]["chancery"]["index"],
             "log": one["source"], "core": one["event"]["core"], "leaf_hash": one["event"]["chancery"]["leaf_hash"]}
            for one in events
        ])
        channel = self.headers.get("X-Splunk-Request-Channel")
        if channel is None:
            return 200, {"text": "Success", "code": 0}
        with self.lock:
            number = len(self.acks)
            self.acks[number] = 0
        return 200, {"text": "Success", "code": 0, "ackId": number}

    def ack(self, body):
        asked, told = json.loads(body)["acks"], {}
        with self.lock:
            for number in asked:
                # The indexers take their time: not the first time it is asked.
                self.acks[number] = self.acks.get(number, 0) + 1
                told[str(number)] = self.acks[number] > 1
        return 200, {"acks": told}

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cert", "key", "out", "mode", "token", "port-file"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.out, server.mode, server.token = args.out, args.mode, args.token
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    draft = args.port_file + ".draft"
    with open(draft, "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(draft, args.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
