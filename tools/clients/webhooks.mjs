// Standard Webhooks' own library for Node signs for us and verifies what we sign. CHANCERY_BINARY is the program.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Webhook } from "standardwebhooks";

const bodies = ['{"event_type":"ping"}', "{}", '{"name":"Zo\u00eb \u2603"}'];

function chancery(verb, secret, body, ...more) {
  const given = ["webhook", verb, "--provider", "standard", "--secret-env", "WEBHOOK_TEST", ...more];
  const env = { ...process.env, WEBHOOK_TEST: secret };
  return spawnSync(process.env.CHANCERY_BINARY, given, { input: body, env, encoding: "utf8" });
}

const headersOf = (text) => Object.fromEntries(text.trim().split("\n").map((line) => line.split(": ")));
const asArguments = (headers) => Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);

for (const length of [24, 32, 64]) {
  const secret = `whsec_${randomBytes(length).toString("base64")}`;
  const library = new Webhook(secret);
  for (const body of bodies) {
    const signed = chancery("sign", secret, body, "--id", "msg_1");
    assert.equal(signed.status, 0, signed.stderr);
    library.verify(body, headersOf(signed.stdout));
    assert.throws(() => library.verify(`${body} `, headersOf(signed.stdout)));

    const now = new Date();
    const theirs = {
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": library.sign("msg_1", now, body),
    };
    assert.equal(chancery("verify", secret, body, ...asArguments(theirs)).status, 0);
    assert.equal(chancery("verify", secret, `${body} `, ...asArguments(theirs)).status, 3);
  }
}
console.log("webhooks.mjs: Standard Webhooks for Node agrees in both directions");
