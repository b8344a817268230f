// Node's clients off the shelf against a running Chancery: jose and openid-client.
//
// They are told the issuer and a client's id and secret, and find the rest by discovery. `cargo xtask clients` runs this.

import assert from 'node:assert/strict';

import * as jose from 'jose';
import * as openid from 'openid-client';

const env = (name) => {
  const value = process.env[`CHANCERY_${name}`];
  assert.ok(value, `CHANCERY_${name} is not set`);
  return value;
};
const issuer = env('ISSUER');
const algorithm = env('ALGORITHM');
// The server listens on this machine only and has no TLS.
const insecure = { execute: [openid.allowInsecureRequests] };

const discovered = (id, authentication, kind) =>
  openid.discovery(new URL(issuer), id, undefined, authentication, { ...insecure, algorithm: kind });

async function verified(metadata, token) {
  const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
  const wanted = { issuer, audience: issuer, typ: 'at+jwt', algorithms: [algorithm], requiredClaims: ['jti', 'client_id'] };
  const { payload } = await jose.jwtVerify(token, keys, wanted);
  const [header, body, signature] = token.split('.');
  const claims = JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url')), roles: ['platform_admin'] });
  const changed = [header, Buffer.from(claims).toString('base64url'), signature].join('.');
  await assert.rejects(jose.jwtVerify(changed, keys, wanted), jose.errors.JWSSignatureVerificationFailed);
  await assert.rejects(jose.jwtVerify(token, keys, { ...wanted, audience: 'https://other.test' }), jose.errors.JWTClaimValidationFailed);
  await assert.rejects(jose.jwtVerify(token, keys, { ...wanted, issuer: `${issuer}/` }), jose.errors.JWTClaimValidationFailed);
  await assert.rejects(jose.jwtVerify(token, keys, { ...wanted, typ: 'JWT' }), jose.errors.JWTClaimValidationFailed);
  return payload;
}

async function asAProgram(kind, authentication) {
  const id = env('CLIENT_ID');
  const config = await discovered(id, authentication(env('CLIENT_SECRET')), kind);
  const metadata = config.serverMetadata();
  assert.equal(metadata.issuer, issuer);
  const tokens = await openid.clientCredentialsGrant(config);
  const claims = await verified(metadata, tokens.access_token);
  assert.equal(claims.sub, id);
  assert.equal(claims.client_id, id);
  const said = await openid.tokenIntrospection(config, tokens.access_token);
  assert.equal(said.active, true);
  assert.equal(said.jti, claims.jti);
  await openid.tokenRevocation(config, tokens.access_token);
  assert.deepEqual(await openid.tokenIntrospection(config, tokens.access_token), { active: false });
  await assert.rejects(openid.clientCredentialsGrant(config, { scope: 'platform_admin' }), { error: 'invalid_scope' });
}

async function asAPerson(kind) {
  const login = { tenant: env('TENANT'), username: env('USERNAME'), password: env('PASSWORD') };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${issuer}/v1/auth/login`, { method: 'POST', headers, body: JSON.stringify(login) });
  assert.equal(answer.status, 200);
  const first = await answer.json();
  const config = await discovered('chancery', openid.None(), kind);
  const metadata = config.serverMetadata();
  const second = await openid.refreshTokenGrant(config, first.refresh_token);
  const [before, after] = [await verified(metadata, first.access_token), await verified(metadata, second.access_token)];
  assert.equal(before.sid, after.sid);
  assert.notEqual(before.jti, after.jti);
  await openid.tokenRevocation(config, second.refresh_token);
  await assert.rejects(openid.refreshTokenGrant(config, second.refresh_token), { error: 'invalid_grant' });
}

for (const kind of ['oidc', 'oauth2']) {
  await asAProgram(kind, openid.ClientSecretBasic);
  await asAProgram(kind, openid.ClientSecretPost);
  await asAPerson(kind);
}
console.log(`jose and openid-client read our ${algorithm} tokens and refuse changed ones`);
