// Mozilla's HTTP Observatory and Google's CSP Evaluator look at a server with the profile `strict`.
// Run by `cargo xtask clients`.
import { createRequire } from "node:module";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import assert from "node:assert/strict";

const require = createRequire(import.meta.url);
const observatory = dirname(dirname(require.resolve("@mdn/mdn-http-observatory")));
// The list of preloaded domains is fetched on installation, with scripts that we do not run; ours is on none.
mkdirSync(join(observatory, "conf"), { recursive: true });
writeFileSync(join(observatory, "conf", "hsts-preload.json"), "{}");

const origin = process.env.CHANCERY_ORIGIN;
const deadline = Date.now() + 60_000;
let answer;
while (!answer) {
  try {
    answer = await fetch(`${origin}/livez`);
  } catch (error) {
    if (Date.now() > deadline) throw error;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
assert.equal(answer.status, 200);

const { scan } = await import("@mdn/mdn-http-observatory");
const result = await scan(`${new URL(origin).host}/livez`);
const failed = Object.values(result.tests).filter((test) => test.pass === false);
assert.deepEqual(failed.map((test) => test.result), []);
assert.equal(result.scan.grade, "A+", JSON.stringify(result.scan));

const { CspEvaluator } = require("csp_evaluator/dist/evaluator.js");
const { CspParser } = require("csp_evaluator/dist/parser.js");
const { Severity } = require("csp_evaluator/dist/finding.js");
const policy = answer.headers.get("content-security-policy");
const findings = new CspEvaluator(new CspParser(policy).csp).evaluate();
const high = findings.filter((finding) => finding.severity === Severity.HIGH);
assert.deepEqual(high, []);
// Whether the evaluator would have said so: the policy of development.
const open = new CspEvaluator(new CspParser("script-src 'self' 'unsafe-inline'").csp).evaluate();
assert.ok(open.some((finding) => finding.severity === Severity.HIGH));

console.log(`headers: grade ${result.scan.grade}, score ${result.scan.score}; no high finding in the policy`);
