// A real OpenID provider for the tests: `node oidc_provider.mjs`. It listens on a free port of this machine and prints
// its issuer. Each line on its standard input is a command: `rotate` replaces its keys by new ones, `keep` adds one
// before the old ones; it answers each with the kids it serves.

import { generateKeyPair, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import Provider from 'oidc-provider';

const AUDIENCE = 'urn:gateway';
const generate = promisify(generateKeyPair);

async function newKey(alg) {
  const { privateKey } = alg === 'ES256'
    ? await generate('ec', { namedCurve: 'P-256' })
    : alg === 'EdDSA' ? await generate('ed25519') : await generate('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg };
}

function build(issuer, keys) {
  const client = (id) => ({
    client_id: id,
    client_secret: `secret of ${id}`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  });
  const algorithms = { indexer: 'RS256', curved: 'ES256', edwards: 'EdDSA' };
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [...Object.keys(algorithms), 'gateway'].map(client),
    extraTokenClaims: () => ({ groups: ['search'] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (ctx, resource, asked) => ({
          scope: 'ai.use',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: algorithms[asked.clientId] } },
        }),
      },
    },
    scopes: ['ai.use'],
    ttl: { ClientCredentials: 300 },
  });
  return provider.callback();
}

const allKeys = () => Promise.all(['RS256', 'ES256', 'EdDSA'].map(newKey));
let keys = await allKeys();
let handler;
const server = createServer((request, response) => handler(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  handler = build(issuer, keys);
  const tell = () => console.log(JSON.stringify({ issuer, audience: AUDIENCE, kids: keys.map((key) => key.kid) }));
  tell();
  const commands = createInterface({ input: process.stdin });
  commands.on('line', async (line) => {
    keys = line === 'keep' ? [...(await allKeys()), ...keys] : await allKeys();
    handler = build(issuer, keys);
    tell();
  });
  commands.on('close', () => process.exit(0));
});
