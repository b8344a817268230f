// Headless Chromium over its debugging pipe (Chrome DevTools Protocol, NUL-ended JSON on file descriptors 3 and 4): no module is needed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A browser without a screen and with a folder of its own. */
export class Chromium {
  constructor(program) {
    this.folder = mkdtempSync(join(tmpdir(), 'chancery-chromium-'));
    const flags = [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update', '--remote-debugging-pipe',
      `--user-data-dir=${this.folder}`, 'about:blank',
    ];
    this.child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
    this.words = '';
    this.child.stderr.on('data', (text) => { this.words = (this.words + text).slice(-4_000); });
    this.waiting = new Map();
    this.number = 0;
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.ended.then(() => this.waiting.forEach(({ reject }) => reject(new Error(`Chromium ended:\n${this.words}`))));
    let buffer = '';
    this.child.stdio[4].setEncoding('utf8').on('data', (text) => {
      const messages = (buffer + text).split('\0');
      buffer = messages.pop();
      messages.map((message) => JSON.parse(message)).forEach((message) => this.hear(message));
    });
  }

  hear({ id, result, error }) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    if (error) waiting.reject(new Error(`${waiting.method}: ${error.message}`));
    else waiting.resolve(result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.number;
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { method, resolve, reject }));
  }

  /** A new page, made by `kind`, that begins to load. */
  async open(url, kind = Page) {
    const { targetId } = await this.send('Target.createTarget', { url });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    return new kind(this, sessionId);
  }

  async end() {
    // By itself if it can: its children write into the folder for a while after a kill.
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    this.send('Browser.close').catch(() => {});
    await this.ended;
    clearTimeout(late);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

export class Page {
  constructor(browser, session) {
    Object.assign(this, { browser, session });
  }

  send(method, params) {
    return this.browser.send(method, params, this.session);
  }

  async loaded(url) {
    for (let tries = 0; tries < 200; tries += 1) {
      const { result } = await this.send('Runtime.evaluate', { expression: 'document.readyState + location.href' });
      if (result.value === `complete${url}`) return;
      await new Promise((wait) => setTimeout(wait, 25));
    }
    throw new Error(`${url} did not load`);
  }

  /** What a script in the page gives; what it throws is thrown here by its name. */
  async run(expression) {
    // Passkeys are for the page that a person looks at.
    await this.send('Page.bringToFront');
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: `(async () => { try { return JSON.stringify(await (${expression})) } catch (error) { return JSON.stringify({ thrown: error.name, message: error.message }) } })()`,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    assert.ok(!exceptionDetails, JSON.stringify(exceptionDetails));
    const value = JSON.parse(result.value);
    if (value.thrown) throw Object.assign(new Error(value.message), { name: value.thrown });
    return value;
  }
}
