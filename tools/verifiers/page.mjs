// docs/verify.html in a real browser, from its file: URL. Reads jobs from standard input, a JSON list of
// {name, pack, trust, checkpoint?} with paths, and prints the reports by name. With `flip`, every so many bytes of that pack
// are changed, one at a time. The page also reads the vectors of signed notes. The first job is also given to the page as a
// person would, through its file fields; that is all that is done with a pack and a trust file among the arguments.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { Chromium } from '../chromium.mjs';

const [program, html, pack, trust] = process.argv.slice(2);
const { jobs, flip } = pack ? { jobs: [], flip: null } : JSON.parse(readFileSync(0, 'utf8'));
const url = pathToFileURL(html).href;

const base64 = (path) => (path ? readFileSync(path).toString('base64') : null);
const bytes = (text) => (text === null ? 'null' : `Uint8Array.from(atob('${text}'), (letter) => letter.charCodeAt(0))`);

/** As a person does it: files into the fields, and the verdict is read off the page. */
async function byHand(page, { pack, trust }) {
  const { root } = await page.send('DOM.getDocument', { depth: -1 });
  for (const [selector, file] of [['#pack', pack], ['#trust', trust]]) {
    const { nodeId } = await page.send('DOM.querySelector', { nodeId: root.nodeId, selector });
    await page.send('DOM.setFileInputFiles', { nodeId, files: [file] });
  }
  for (let tries = 0; tries < 4_000; tries += 1) {
    const seen = await page.run('({ verdict: document.documentElement.dataset.verdict ?? "", text: document.getElementById("verdict").textContent, rows: document.querySelectorAll("#checks tr").length })');
    if (seen.verdict) return seen;
    await new Promise((wait) => setTimeout(wait, 25));
  }
  throw new Error('the page shows no verdict');
}

/** The vectors of signed notes: what is good reads as it says, and nothing else does. Sizes end at 2^53 - 1 for the page. */
async function notes(page) {
  const vectors = JSON.parse(readFileSync(new URL('../../testdata/vectors/chancery/checkpoint.json', import.meta.url), 'utf8'));
  const key = Buffer.from(vectors.vkey.split('+').slice(2).join('+'), 'base64').subarray(1).toString('base64url');
  const read = ({ note }) => page.run(`(async () => {
    const key = { ...await readKey({ kty: 'OKP', crv: 'Ed25519', x: '${key}' }), first: 0, state: 'active' };
    const read = headOf(encode(${JSON.stringify(note)}), ${JSON.stringify(vectors.name)}, [key]);
    return read.then(({ said, size, root }) => ({ origin: said, size: String(size), root: hex(root) }), () => false);
  })()`);
  for (const { note, ...said } of vectors.cases) {
    assert.deepEqual(await read({ note }), BigInt(said.size) < 2n ** 53n ? said : false, note);
  }
  for (const odd of vectors.refused) assert.equal(await read(odd), false, odd.name);
}

const browser = new Chromium(program);
try {
  const { product } = await browser.send('Browser.getVersion');
  const page = await browser.open(url);
  await page.loaded(url);
  await notes(page);
  const reports = {};
  for (const { name, pack, trust, checkpoint } of jobs) {
    reports[name] = await page.run(`verifyPack(${bytes(base64(pack))}, ${bytes(base64(trust))}, ${bytes(base64(checkpoint))})`);
  }
  const seen = await byHand(page, jobs[0] ?? { pack, trust });
  const wanted = jobs[0] ? reports[jobs[0].name] : { verdict: 'verified' };
  assert.equal(seen.verdict, wanted.verdict);
  if (wanted.checks) assert.equal(seen.rows, wanted.checks.length);
  let flipped = 0;
  if (flip) {
    flipped = await page.run(`(async () => {
      const [good, trust] = [${bytes(base64(flip.pack))}, ${bytes(base64(flip.trust))}];
      let count = 0;
      for (let at = 0; at < good.length; at += ${Number(flip.step)}) {
        const changed = good.slice();
        changed[at] ^= 1 << (at % 8);
        const { verdict } = await verifyPack(changed, trust);
        if (verdict !== 'failed' && verdict !== 'unsupported') throw new Error('byte ' + at + ' changed: ' + verdict);
        count += 1;
      }
      return count;
    })()`);
  }
  process.stdout.write(JSON.stringify({ product, reports, flipped, seen }));
} finally {
  await browser.end();
}
