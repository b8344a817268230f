// Passkeys in a real browser: headless Chromium with its virtual authenticator, against a running Chancery.
//
// Two pages are served: one of the origin that Chancery knows, one of another. `cargo xtask clients` runs this.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { Chromium, Page as Plain } from '../chromium.mjs';

const env = (name) => {
  const value = process.env[`CHANCERY_${name}`];
  assert.ok(value, `CHANCERY_${name} is not set`);
  return value;
};
const server = env('ISSUER');
const tenant = env('TENANT');
const password = env('PASSWORD');

/** A call of Chancery's API: the status and the body. */
async function api(method, path, body, token) {
  const headers = { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(server + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

/** A call that must give this status; its body. */
async function expect(status, method, path, body, token) {
  const answer = await api(method, path, body, token);
  assert.equal(answer.status, status, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** An empty page on each of these ports. */
async function pages(ports) {
  const page = (_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>An application</title>');
  const servers = ports.map((port) => createServer(page).listen(port, '127.0.0.1'));
  await Promise.all(servers.map((one) => new Promise((listening) => one.once('listening', listening))));
  return servers;
}

/** Chromium with a page that has a virtual authenticator. */
class Browser extends Chromium {
  async page(url, authenticator = {}) {
    const page = await this.open(url, Page);
    await page.send('WebAuthn.enable');
    page.authenticator = await page.plug(authenticator);
    await page.loaded(url);
    return page;
  }
}

class Page extends Plain {
  async plug(options) {
    const usual = { protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
    const { authenticatorId } = await this.send('WebAuthn.addVirtualAuthenticator', { options: { ...usual, automaticPresenceSimulation: true, ...options } });
    return authenticatorId;
  }

  create(options) {
    return this.run(`navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(${JSON.stringify(options)}) }).then((made) => made.toJSON())`);
  }

  get(options) {
    return this.run(`navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(${JSON.stringify(options)}) }).then((found) => found.toJSON())`);
  }
}

const logIn = (username) => expect(200, 'POST', '/v1/auth/login', { tenant, username, password });
const amr = async (tokens) => (await expect(200, 'GET', '/v1/auth/session', undefined, tokens.access_token)).amr;

async function withoutPassword(page) {
  const { options } = await expect(200, 'POST', '/v1/auth/webauthn/options', { tenant });
  return api('POST', '/v1/auth/webauthn/verify', { tenant, credential: await page.get(options) });
}

async function register(page, token, name) {
  const { options } = await expect(200, 'POST', '/v1/me/webauthn/registrations/options', {}, token);
  const credential = await page.create(options);
  return expect(201, 'POST', '/v1/me/webauthn/registrations/verify', { name, credential }, token);
}

async function aPersonRegistersAndLogsIn(page, other) {
  const zoe = (await logIn('zoe')).access_token;
  const made = await register(page, zoe, 'usb key');
  assert.equal(made.recovery_codes.length, 10);
  assert.equal(made.backup_eligible, false);

  // After the password.
  const asked = await logIn('zoe');
  assert.deepEqual(asked.methods, ['passkey', 'recovery_code']);
  const { options } = await expect(200, 'POST', '/v1/auth/mfa/webauthn/options', { mfa_token: asked.mfa_token });
  const credential = await page.get(options);
  const tokens = await expect(200, 'POST', '/v1/auth/mfa/webauthn/verify', { mfa_token: asked.mfa_token, credential });
  assert.deepEqual(await amr(tokens), ['pwd', 'hwk', 'user', 'mfa']);

  // Instead of it.
  const first = await withoutPassword(page);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  assert.deepEqual(await amr(first.body), ['hwk', 'user', 'mfa']);

  // The authenticator knows that it is registered, and the browser that its user was not verified.
  await assert.rejects(register(page, zoe, 'again'), { name: 'InvalidStateError' });
  await page.send('WebAuthn.setUserVerified', { authenticatorId: page.authenticator, isUserVerified: false });
  await assert.rejects(withoutPassword(page), { name: 'NotAllowedError' });
  await page.send('WebAuthn.setUserVerified', { authenticatorId: page.authenticator, isUserVerified: true });

  // The same key on a page of another origin, which the browser lets have it: the id is the same.
  const { credentials: [key] } = await page.send('WebAuthn.getCredentials', { authenticatorId: page.authenticator });
  await other.send('WebAuthn.addCredential', { authenticatorId: other.authenticator, credential: { ...key, signCount: key.signCount + 10 } });
  const elsewhere = await withoutPassword(other);
  assert.equal(elsewhere.status, 401, JSON.stringify(elsewhere.body));
  assert.equal(elsewhere.body.code, 'auth.login_failed');

  // A copy of the authenticator counts on its own.
  const copy = await page.browser.page(page.url, {});
  copy.url = page.url;
  await copy.send('WebAuthn.addCredential', { authenticatorId: copy.authenticator, credential: { ...key, signCount: 1 } });
  const cloned = await withoutPassword(copy);
  assert.equal(cloned.status, 401, JSON.stringify(cloned.body));
  assert.equal((await withoutPassword(page)).status, 200, 'the real one still counts on');

  // One that was removed logs nobody in.
  await expect(204, 'DELETE', `/v1/me/webauthn/credentials/${made.id}`, undefined, zoe);
  assert.equal((await withoutPassword(page)).status, 401);
  assert.ok((await logIn('zoe')).access_token, 'nothing is left to be asked for');
}

async function anAdministratorEnrolsASyncedPasskey(browser, url) {
  const page = await browser.page(url, { transport: 'internal', defaultBackupEligibility: true, defaultBackupState: true });
  const asked = await logIn('ada');
  assert.deepEqual(asked.methods, ['enroll']);
  const begun = await expect(200, 'POST', '/v1/auth/mfa/enroll/webauthn/options', { mfa_token: asked.mfa_token });
  const credential = await page.create(begun.options);
  const done = await expect(200, 'POST', '/v1/auth/mfa/enroll/webauthn/verify', { mfa_token: asked.mfa_token, name: 'phone', credential });
  assert.equal(done.passkey.backed_up, true);
  assert.deepEqual(await amr(done), ['pwd', 'swk', 'user', 'mfa']);
  const first = await withoutPassword(page);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  assert.deepEqual(await amr(first.body), ['swk', 'user', 'mfa']);
}

const [port, otherPort] = [env('PAGE_PORT'), env('OTHER_PORT')].map(Number);
const [url, otherUrl] = [`http://localhost:${port}/`, `http://localhost:${otherPort}/`];
const servers = await pages([port, otherPort]);
const browser = new Browser(env('CHROMIUM'));
try {
  const { product } = await browser.send('Browser.getVersion');
  const page = await browser.page(url);
  page.url = url;
  await aPersonRegistersAndLogsIn(page, await browser.page(otherUrl));
  await anAdministratorEnrolsASyncedPasskey(browser, url);
  console.log(`${product} registers passkeys and logs in with them; a copy, a removed one and another origin are refused`);
} finally {
  await browser.end();
  servers.forEach((one) => { one.close(); one.closeAllConnections(); });
}
